/* tokenize and detokenize: text to ids and back with a model's own vocabulary, for comparison with
 * other implementations. */
#include <stdio.h>

#include "local_engine/cmd_common.h"
#include "local_engine/cmd_text.h"

enum { FLUSH_BYTES = 1 << 16 };

static const char tokenize_usage[] =
    "usage: tokenize --model FILE [--no-bos] [--special]  < TEXT\n"
    "Prints the token ids of standard input as a JSON array. The text is taken as it is, the\n"
    "newline at its end too; bytes that are no UTF-8 become byte tokens. At most 16 MiB.\n"
    "  -m, --model FILE  GGUF file of a Gemma 4 model; one without weights will do\n"
    "      --no-bos      without the token <bos> in front\n"
    "      --special     special tokens written in the text, such as <|turn>, become those\n"
    "                    tokens; else they are ordinary text, as in what users write\n"
    "  -h, --help        this text\n"
    "Exit status: 0; 1 when the file or the text cannot be used; 2 for wrong options.\n"
    "Example: printf 'Hello, world' | tollgate tokenize --model gemma-4-E2B-it-Q4_0.gguf\n";

static const char detokenize_usage[] =
    "usage: detokenize --model FILE [--raw]  < IDS\n"
    "Prints the text of token ids. Standard input is a JSON array of whole numbers, or numbers\n"
    "with spaces, commas or lines between them; at most 256 MiB. Special tokens are printed as\n"
    "text. A U+2581 that was tokenised comes back as a space.\n"
    "  -m, --model FILE  GGUF file of a Gemma 4 model; one without weights will do\n"
    "      --raw         bytes as the tokens have them; else what is no UTF-8 becomes U+FFFD\n"
    "  -h, --help        this text\n"
    "Exit status: 0; 1 when the file or the ids cannot be used; 2 for wrong options.\n"
    "Example: echo '[2, 9259, 236764, 1902]' | tollgate detokenize --model model.gguf\n";

/* Ids of text, behind <bos> unless the text itself begins with it. */
static enum tg_status encode(const struct le_text_model *m, struct tg_str text, bool bos,
                             bool special, struct le_ids *ids)
{
    int32_t bos_id = le_tokenizer_special(m->tokenizer)->bos;
    struct le_ids rest = { 0 };
    enum tg_status status = le_tokenizer_encode(m->tokenizer, text, special, &rest);
    bool has = rest.n && rest.id[0] == bos_id;
    if (!status && bos && !has)
        status = le_ids_add(ids, bos_id);
    for (size_t i = 0; i < rest.n && !status; i++)
        status = le_ids_add(ids, rest.id[i]);
    le_ids_free(&rest);
    return status;
}

static int tokenize(const struct le_text_model *m, const char *path, bool bos, bool special)
{
    struct tg_buf text, out;
    struct le_ids ids = { 0 };
    tg_buf_init(&text, 0);
    tg_buf_init(&out, SIZE_MAX / 2);
    bool good = !bos || le_tokenizer_special(m->tokenizer)->bos >= 0;
    if (!good)
        fprintf(stderr, "tokenize: %s: the vocabulary has no token <bos>; --no-bos leaves it out\n",
                path);
    good = good && le_text_input("tokenize", LE_TEXT_INPUT_MAX, &text);
    if (good && (encode(m, tg_buf_str(&text), bos, special, &ids) || le_ids_print(&ids, &out) ||
                 tg_buf_addc(&out, '\n'))) {
        fprintf(stderr, "tokenize: out of memory; pass the text in pieces\n");
        good = false;
    }
    good = good && le_text_write("tokenize", tg_buf_str(&out));
    le_ids_free(&ids);
    tg_buf_free(&text);
    tg_buf_free(&out);
    return good ? 0 : 1;
}

int le_cmd_tokenize(int argc, char **argv)
{
    const char *model = NULL;
    bool no_bos = false, special = false;
    struct le_text_model m;
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &model, NULL, 0, 0 },
        { "--no-bos", NULL, LE_OPTION_FLAG, &no_bos, NULL, 0, 0 },
        { "--special", NULL, LE_OPTION_FLAG, &special, NULL, 0, 0 },
    };
    const struct le_command command = { "tokenize", tokenize_usage, options,
                                        sizeof(options) / sizeof(*options), NULL };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    int status = le_text_open("tokenize", model, &m) ? model ? 1 : 2
                                                     : tokenize(&m, model, !no_bos, special);
    le_text_close(&m);
    return status;
}

/* Writes the text of the ids as it comes. */
static bool write_text(const struct le_text_model *m, const struct le_ids *ids, bool raw)
{
    struct le_decoder d = { .n = 0 };
    struct tg_buf out;
    bool good = true;
    tg_buf_init(&out, SIZE_MAX / 2);
    for (size_t i = 0; i <= ids->n && good; i++) {
        bool end = i == ids->n;
        struct tg_str piece = end ? TG_STR("") : le_tokenizer_piece(m->tokenizer, ids->id[i]);
        if (raw)
            tg_buf_add(&out, piece.p, piece.n);
        else if (end)
            le_decoder_end(&d, &out);
        else
            le_decoder_bytes(&d, piece, &out);
        if (out.failed) {
            fprintf(stderr, "detokenize: out of memory\n");
            good = false;
        } else if (end || out.n >= FLUSH_BYTES) {
            good = le_text_write("detokenize", tg_buf_str(&out));
            tg_buf_reset(&out);
        }
    }
    tg_buf_free(&out);
    return good;
}

static int detokenize(const struct le_text_model *m, bool raw)
{
    struct tg_buf text;
    struct le_ids ids = { 0 };
    struct tg_error err = { .text = "" };
    bool good = le_text_input("detokenize", LE_TEXT_IDS_MAX, &text);
    if (good && (le_ids_parse(tg_buf_str(&text), &ids, &err) ||
                 le_ids_check(&ids, m->tokenizer, &err))) {
        fprintf(stderr, "detokenize: standard input: %s\n", err.text);
        good = false;
    }
    good = good && write_text(m, &ids, raw);
    le_ids_free(&ids);
    tg_buf_free(&text);
    return good ? 0 : 1;
}

int le_cmd_detokenize(int argc, char **argv)
{
    const char *model = NULL;
    bool raw = false;
    struct le_text_model m;
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &model, NULL, 0, 0 },
        { "--raw", NULL, LE_OPTION_FLAG, &raw, NULL, 0, 0 },
    };
    const struct le_command command = { "detokenize", detokenize_usage, options,
                                        sizeof(options) / sizeof(*options), NULL };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    int status = le_text_open("detokenize", model, &m) ? model ? 1 : 2 : detokenize(&m, raw);
    le_text_close(&m);
    return status;
}
