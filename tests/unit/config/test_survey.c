#include "config/survey.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

static const char *write_config(const char *text)
{
    char copy[4000];
    size_t n = strlen(text);
    for (size_t i = 0; i <= n; i++)
        copy[i] = text[i] == '\'' ? '"' : text[i];
    return support_write("config.json", copy);
}

static void defaults(void)
{
    struct cfg_survey *s;
    setenv("XDG_DATA_HOME", "/data", 1);
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/home/x", 1);
    CHECK_INT(cfg_survey(NULL, &s, NULL), TG_OK);
    CHECK_STR(s->model_dir, "/data/tollgate/models");
    CHECK_STR(s->data_dir, "/home/x/.local/state/tollgate");
    CHECK_STR(s->listen_host, "127.0.0.1");
    CHECK(!s->path && !s->model && !s->model_found[0] && s->n_keys == 0);
    cfg_survey_free(s);
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    CHECK_INT(cfg_survey(NULL, &s, NULL), TG_OK);
    CHECK(!s->model_dir && !s->data_dir);
    cfg_survey_free(s);
    cfg_survey_free(NULL);
}

static void whole_file(void)
{
    struct cfg_survey *s;
    char want[400];
    setenv("TG_SURVEY_SET", " value ", 1);
    setenv("TG_SURVEY_EMPTY", " ", 1);
    unsetenv("TG_SURVEY_MISSING");
    const char *path = write_config(
        "{'listen':'[::1]:99','modelDir':'models','dataDir':'/var/t','unknown':1,'timeZone':"
        "'local',"
        "'engine':{'model':'m.gguf','device':'cpu','context':4096},"
        "'providers':{'a':{'apiKey':{'env':'TG_SURVEY_SET'}},'b':{'apiKey':{'env':"
        "'TG_SURVEY_EMPTY'}},'c':{'apiKey':{'env':'TG_SURVEY_MISSING'}},'d':{'apiKey':{'file':"
        "'key'}},'e':{'apiKey':{'file':'empty'}},'f':{'apiKey':{'file':'none'}},'g':{'apiKey':"
        "{'file':'.'}},'h':{'apiKey':'sk-literal'},'i':{},'j':{'apiKey':{'env':'A','file':'B'}}}}");
    CHECK_INT(cfg_survey(path, &s, NULL), TG_OK);
    CHECK_STR(s->listen_host, "::1");
    CHECK_INT(s->listen_port, 99);
    CHECK_INT(s->context, 4096);
    CHECK_STR(s->device, "cpu");
    CHECK_STR(s->data_dir, "/var/t");
    CHECK_STR(s->time_zone, "local");
    snprintf(want, sizeof(want), "%s/models", support_folder());
    CHECK_STR(s->model_dir, want);
    snprintf(want, sizeof(want), "%s/m.gguf", support_folder());
    CHECK_STR(s->model_found[0], want);
    snprintf(want, sizeof(want), "%s/models/m.gguf", support_folder());
    CHECK_STR(s->model_found[1], want);
    static const enum cfg_key_state states[] = {
        CFG_KEY_SET, CFG_KEY_EMPTY, CFG_KEY_MISSING, CFG_KEY_SET, CFG_KEY_EMPTY, CFG_KEY_MISSING,
        CFG_KEY_UNREADABLE, CFG_KEY_ODD, CFG_KEY_ODD,
    };
    CHECK_INT(s->n_keys, 9);
    for (size_t i = 0; i < 9; i++)
        if (s->keys[i].state != states[i])
            CHECK_FAIL("%s: %d", s->keys[i].path, s->keys[i].state);
    CHECK_STR(s->keys[2].path, "providers.c.apiKey");
    CHECK_STR(s->keys[2].from, "TG_SURVEY_MISSING");
    CHECK(!strstr(s->keys[7].from, "sk-literal"));
    cfg_survey_free(s);
}

static void what_cannot_be_read(void)
{
    static const struct { const char *text; enum tg_status status; } table[] = {
        { "{", TG_INVALID }, { "[]", TG_INVALID },
        { "{'listen':7,'modelDir':[],'engine':3,'providers':'x'}", TG_OK },
        { "{'listen':'nowhere','engine':{'model':7,'context':-1,'device':''},'providers':[1]}",
          TG_OK },
        { "{'listen':'a:99999','timeZone':'Mars','providers':{'a':1,'b':{'apiKey':[]}}}", TG_OK },
    };
    setenv("HOME", "/home/x", 1);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_survey *s;
        struct tg_error err = { 0 };
        CHECK_INT(cfg_survey(write_config(table[i].text), &s, &err), table[i].status);
        CHECK_INT(s->listen_port, 8080);
        CHECK_STR(s->device, "auto");
        CHECK_STR(s->time_zone, "UTC");
        CHECK_STR(s->model_dir, "/home/x/.local/share/tollgate/models");
        CHECK(!s->model && s->context == 0);
        CHECK(table[i].status == TG_OK || strstr(err.text, "config.json: "));
        cfg_survey_free(s);
    }
    struct cfg_survey *s;
    CHECK_INT(cfg_survey("/no/such/file", &s, NULL), TG_NOTFOUND);
    CHECK_STR(s->path, "/no/such/file");
    cfg_survey_free(s);
}

static void tokens(void)
{
    char *token, line[] = "Bearer hf_a_token_of_the_test";
    unsetenv("TG_SURVEY_TOKEN");
    CHECK(cfg_token("TG_SURVEY_TOKEN", &token, NULL) == TG_OK && !token);
    setenv("TG_SURVEY_TOKEN", " \n", 1);
    CHECK(cfg_token("TG_SURVEY_TOKEN", &token, NULL) == TG_OK && !token);
    setenv("TG_SURVEY_TOKEN", "a\nb: c", 1);
    CHECK(cfg_token("TG_SURVEY_TOKEN", &token, NULL) == TG_INVALID && !token);
    setenv("TG_SURVEY_TOKEN", "hf_a_token_of_the_test\n", 1);
    CHECK_INT(cfg_token("TG_SURVEY_TOKEN", &token, NULL), TG_OK);
    CHECK_STR(token, "hf_a_token_of_the_test");
    tg_log_mask(line);
    CHECK(!strstr(line, "token"));
    tg_free(token);
}

static void every_allocation_may_fail(void)
{
    setenv("TG_SURVEY_SET", "value", 1);
    const char *path = write_config("{'listen':'127.0.0.1:1','modelDir':'m','engine':{'model':"
                                    "'m.gguf'},'providers':{'a':{'apiKey':{'env':"
                                    "'TG_SURVEY_SET'}},'d':{'apiKey':{'file':'key'}}}}");
    for (uint64_t nth = 1;; nth++) {
        struct cfg_survey *s;
        tg_alloc_fail_nth(nth);
        enum tg_status status = cfg_survey(path, &s, NULL);
        bool all = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        CHECK(status == TG_NOMEM ? !s : s != NULL);
        cfg_survey_free(s);
        if (all)
            break;
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(defaults), CASE(whole_file), CASE(what_cannot_be_read), CASE(tokens),
        CASE(every_allocation_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
