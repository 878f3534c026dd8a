#include "gateway/calibrate.h"

#include "config/base/buf.h"

static const char *const map_names[] = { "none", "Platt", "isotonic" };

static double percent(size_t part, size_t all)
{
    return all ? 100.0 * (double)part / (double)all : 0;
}

/* --- tables ----------------------------------------------------------------- */

static void key_row(const char *what, const struct gw_judged *j, FILE *out)
{
    const struct pol_quality *a = &j->raw, *b = &j->fitted;
    fprintf(out, "  %-10s%8zu %6.1f %%   %.3f  %.3f   %.4f  %.4f   %.4f  %.4f   %.4f  %.4f\n", what,
            a->n, percent(a->right, a->n), a->auc, b->auc, a->brier, b->brier, a->ece, b->ece,
            a->log_loss, b->log_loss);
}

static void bins(const char *what, const struct gw_judged *j, FILE *out)
{
    fprintf(out,
            "\n  reliability, %s\n"
            "  predicted       before: mean   right       n     after: mean   right       n\n",
            what);
    for (size_t b = 0; b < POL_RELIABILITY_BINS; b++) {
        const struct pol_bin *both[] = { &j->raw_bin[b], &j->fitted_bin[b] };
        fprintf(out, "  %.1f to %.1f", (double)b / POL_RELIABILITY_BINS,
                (double)(b + 1) / POL_RELIABILITY_BINS);
        for (size_t k = 0; k < 2; k++)
            if (both[k]->n)
                fprintf(out, "%*s%.3f   %.3f  %6zu", k ? 11 : 15, "", both[k]->mean,
                        both[k]->share, both[k]->n);
            else
                fprintf(out, "%*s    -       -       0", k ? 11 : 15, "");
        fputs("\n", out);
    }
}

static void features(const struct gw_group *g, FILE *out)
{
    const struct pol_calibration *c = &g->fit->calibration;
    fprintf(out, "\n  map %s; bias %.4g; weights:", map_names[c->map.kind], c->bias);
    for (size_t f = 0; f < POL_FEATURES; f++)
        if (g->fit->used[f])
            fprintf(out, " %s %.4g", pol_feature_name((enum pol_feature)f), c->weight[f]);
    fputs("\n", out);
    for (size_t i = 0; i < g->fit->n_dropped; i++) {
        const struct pol_dropped *d = &g->fit->dropped[i];
        fprintf(out, "  %s %-20s held-out log loss %+.5f (error %.5f)\n",
                i ? "       " : "dropped", pol_feature_name(d->feature), d->rise, d->error);
    }
}

static void ablation_row(const char *name, const struct pol_quality *a,
                         const struct pol_quality *b, const char *kept, FILE *out)
{
    fprintf(out, "  %-20s      %.4f  %.3f  %.4f", name, a->log_loss, a->auc, a->ece);
    if (b)
        fprintf(out, "         %.4f  %.3f  %.4f   %s", b->log_loss, b->auc, b->ece, kept);
    fputs("\n", out);
}

static void ablation(const struct gw_group *g, FILE *out)
{
    fputs("\n  held out              without: log loss  AUC    ECE   alone: log loss  AUC    ECE\n",
          out);
    for (size_t f = 0; f < POL_FEATURES; f++)
        ablation_row(pol_feature_name((enum pol_feature)f), &g->ablation[f].without,
                     &g->ablation[f].alone, g->fit->used[f] ? "kept" : "", out);
    ablation_row("(all features)", &g->all, NULL, "", out);
    ablation_row("(those kept)", &g->held.fitted, NULL, "", out);
}

void gw_calibrate_key(const struct pol_key *key, char out[GW_KEY_TEXT])
{
    snprintf(out, GW_KEY_TEXT, "model %.16s, %s, %s, thinking %s", key->model,
             key->exact ? "exact" : "fast", pol_span_name(key->span),
             key->thinking ? "on" : "off");
}

static void group_table(const struct gw_group *g, bool test, FILE *out)
{
    char key[GW_KEY_TEXT];
    gw_calibrate_key(&g->key, key);
    fprintf(out, "%s\n", key);
    if (!g->fit) {
        fprintf(out, "  not calibrated: %s\n\n", g->refused.text);
        return;
    }
    fputs("                   n   right    AUC: before, after  Brier             ECE               "
          "log loss\n",
          out);
    key_row("held out", &g->held, out);
    if (g->tested)
        key_row("--test", &g->test, out);
    else if (test)
        fputs("  --test    has no example of this key\n", out);
    features(g, out);
    bins("held out", &g->held, out);
    if (g->tested)
        bins("--test", &g->test, out);
    if (g->ablation)
        ablation(g, out);
    fputs("\n", out);
}

void gw_calibrate_tables(const struct gw_groups *g, const struct gw_outcome *o, FILE *out)
{
    for (size_t i = 0; i < g->n; i++)
        group_table(g->group[i], o->test, out);
    if (o->written)
        fprintf(out, "written to %s: the gateway reads it at its start and at SIGHUP\n",
                o->written);
    else
        fprintf(out, "nothing was written (%s)\n", o->failure ? "it failed" : "--dry-run");
}

/* --- JSON ----------------------------------------------------------------- */

static void json_quality(const char *name, const struct pol_quality *q, FILE *out)
{
    fprintf(out, ",\"%s\":{\"n\":%zu,\"right\":%zu,\"log_loss\":%.6f,\"auc\":%.6f,\"brier\":%.6f,"
                 "\"ece\":%.6f}", name, q->n, q->right, q->log_loss, q->auc, q->brier, q->ece);
}

static void json_bins(const char *name, const struct pol_bin *bin, FILE *out)
{
    fprintf(out, ",\"%s\":[", name);
    for (size_t b = 0; b < POL_RELIABILITY_BINS; b++)
        fprintf(out, "%s{\"mean\":%.6f,\"right\":%.6f,\"n\":%zu}", b ? "," : "", bin[b].mean,
                bin[b].share, bin[b].n);
    fputs("]", out);
}

static void json_judged(const struct gw_judged *j, FILE *out)
{
    json_quality("before", &j->raw, out);
    json_quality("after", &j->fitted, out);
    json_bins("reliability_before", j->raw_bin, out);
    json_bins("reliability_after", j->fitted_bin, out);
}

static void json_fit(const struct gw_group *g, bool test, FILE *out)
{
    const char *comma = "";
    fprintf(out, ",\"map\":\"%s\",\"kept\":[", map_names[g->fit->calibration.map.kind]);
    for (size_t f = 0; f < POL_FEATURES; f++)
        if (g->fit->used[f]) {
            fprintf(out, "%s\"%s\"", comma, pol_feature_name((enum pol_feature)f));
            comma = ",";
        }
    fputs("],\"dropped\":[", out);
    for (size_t i = 0; i < g->fit->n_dropped; i++)
        fprintf(out, "%s{\"feature\":\"%s\",\"rise\":%.7f,\"error\":%.7f}", i ? "," : "",
                pol_feature_name(g->fit->dropped[i].feature), g->fit->dropped[i].rise,
                g->fit->dropped[i].error);
    fputs("]", out);
    json_judged(&g->held, out);
    if (g->tested) {
        fprintf(out, ",\"test\":{\"n\":%zu", g->test.raw.n);
        json_judged(&g->test, out);
        fputs("}", out);
    } else if (test) {
        fputs(",\"test\":null", out);
    }
    if (!g->ablation)
        return;
    json_quality("all_features", &g->all, out);
    fputs(",\"ablation\":[", out);
    for (size_t f = 0; f < POL_FEATURES; f++) {
        fprintf(out, "%s{\"feature\":\"%s\"", f ? "," : "",
                pol_feature_name((enum pol_feature)f));
        json_quality("without", &g->ablation[f].without, out);
        json_quality("alone", &g->ablation[f].alone, out);
        fputs("}", out);
    }
    fputs("]", out);
}

/* text as a JSON string. */
static void json_text(const char *text, FILE *out)
{
    struct tg_buf b;
    tg_buf_init(&b, 64 << 10);
    if (!text || tg_buf_add_json(&b, tg_str_of(text)) != TG_OK)
        fputs("null", out);
    else
        fwrite(b.p, 1, b.n, out);
    tg_buf_free(&b);
}

void gw_calibrate_json(const struct gw_groups *g, const struct gw_outcome *o, FILE *out)
{
    fputs("{\"keys\":[", out);
    for (size_t i = 0; i < g->n; i++) {
        const struct gw_group *one = g->group[i];
        fprintf(out,
                "%s{\"key\":{\"model\":\"%s\",\"precision\":\"%s\",\"features\":%d,"
                "\"span\":\"%s\",\"thinking\":%s},\"n\":%zu,\"refused\":",
                i ? "," : "", one->key.model, one->key.exact ? "exact" : "fast", one->key.features,
                pol_span_name(one->key.span), one->key.thinking ? "true" : "false", one->n);
        json_text(one->fit ? NULL : one->refused.text, out);
        if (one->fit)
            json_fit(one, o->test, out);
        fputs("}", out);
    }
    fputs("],\"written\":", out);
    json_text(o->written, out);
    fputs(",\"failure\":", out);
    json_text(o->failure, out);
    fputs("}\n", out);
}
