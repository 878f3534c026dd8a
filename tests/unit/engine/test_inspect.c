/* The inspect command on models, on files of others and on what is hostile. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "local_engine/engine.h"
#include "tests/unit/engine/support_command.h"
#include "tests/unit/engine/support_gguf.h"
#include "tests/unit/engine/support_rebuild.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"
#define INSPECT(...) \
    command_run(le_cmd_inspect, (const char *const[]){ "inspect", __VA_ARGS__, NULL }, NULL)

static char file[64]; /* written by the tests */

static void says(const char *const *texts)
{
    for (; *texts; texts++)
        if (!strstr(command_result.out.p, *texts))
            CHECK_FAIL("\"%s\" is not in:\n%s", *texts, command_result.out.p);
    CHECK_STR(command_result.err.p, "");
}

#define SAYS(...) says((const char *const[]){ __VA_ARGS__, NULL })

static void models_as_text(void)
{
    CHECK_INT(INSPECT(GOLDEN "tiny-e-Q4_0.gguf"), 0);
    SAYS("tiny-e-Q4_0.gguf: 4.1 MiB in 1 file", "name        \"Tiny E\"",
         "layers      10: SSSSGssssg",
         "S sees 16 tokens back", "width       256; feed-forward", "embeddings  32 more",
         "context     trained for 4096", "types       Q4_0", "tokenizer   \"gemma4\", 4096 tokens",
         "cpu        4096", "vulkan     4096", "runs here   cpu     yes, at context 4096: ");
    CHECK(!strstr(command_result.out.p, "experts"));
    CHECK_INT(INSPECT("--context", "100", GOLDEN "tiny-moe-Q4_0.gguf"), 0);
    SAYS("layers      3: SSG", "experts     16 in each of 3 layers, 4 used, width 32",
         "cpu         100", "4096");
    CHECK(!strstr(command_result.out.p, "blk.0.attn_q.weight"));
    CHECK_INT(INSPECT(GOLDEN "tiny-moe-Q4_0.gguf", "--keys", "--tensors"), 0);
    SAYS("gemma4.expert_count = 16", "blk.1.ffn_gate_up_exps.weight        Q4_0    256 x 64 x 16");
}

static int64_t whole(const struct tg_json *v, const char *key)
{
    int64_t n = -1;
    tg_json_int(tg_json_get(v, key), &n);
    return n;
}

static void a_model_as_json(void)
{
    CHECK_INT(INSPECT("--json", "--context", "300", "--keys", "--tensors", "--precision=exact",
                      GOLDEN "tiny-dense-Q8_0.gguf"), 0);
    struct tg_json *j = command_json();
    CHECK(j != NULL);
    struct tg_str text;
    bool runs = false;
    CHECK(tg_json_string(tg_json_get(j, "architecture"), &text) &&
          tg_str_eq(text, TG_STR("gemma4")));
    CHECK_INT(whole(j, "bytes"), 2802304);
    CHECK_INT(whole(j, "tokens"), 4096);
    const struct tg_json *p = tg_json_get(j, "hyperparameters");
    CHECK(whole(p, "layers") == 3 && whole(p, "window") == 16 && whole(p, "vocabulary") == 4096);
    CHECK(tg_json_count(tg_json_get(j, "tensors")) > 30);
    CHECK(tg_json_count(tg_json_get(j, "keys")) > 30);
    const struct tg_json *cpu = tg_json_first(tg_json_get(j, "places"));
    CHECK(tg_json_bool(tg_json_get(cpu, "runs"), &runs) && runs);
    const struct tg_json *plan = tg_json_first(tg_json_get(cpu, "memory"));
    CHECK_INT(tg_json_count(tg_json_get(cpu, "memory")), 2); /* 300, and 4096 */
    CHECK_INT(whole(plan, "context"), 300);
    CHECK_INT(whole(plan, "total"), whole(plan, "weights") + whole(plan, "keysAndValues") +
              whole(plan, "scratch"));
    CHECK_INT(whole(plan, "keysAndValues"), 2 * 4 * 3 * 128 * 300);
    tg_json_free(j);
}

static void write_file(const void *p, size_t n)
{
    FILE *f = fopen(file, "wb");
    CHECK(f && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

/* A model with bytes replaced behind the first place of near. */
static void write_patched(const char *near, size_t delta, const char *with)
{
    struct rebuild r;
    CHECK(rebuild_start(&r, GOLDEN "tiny-dense-Q8_0.gguf"));
    size_t at = gguf_find(&r.file, near);
    CHECK(at + delta + strlen(with) < r.file.n);
    memcpy(r.file.p + at + delta, with, strlen(with));
    write_file(r.file.p, r.file.n);
    rebuild_free(&r);
}

/* Read, told, and not run. */
static void files_of_others(void)
{
    bool understood = true;
    write_patched("general.architecture", 20 + 4 + 8, "llama5");
    CHECK_INT(INSPECT(file), 0);
    SAYS("arch        \"llama5\"", "types       Q8_0", "runs here   cpu     no: ",
         "this version runs gemma4, not llama5");
    CHECK(!strstr(command_result.out.p, "memory   "));
    CHECK_INT(INSPECT(file, "--json"), 0);
    struct tg_json *j = command_json();
    CHECK(j && tg_json_bool(tg_json_get(j, "understood"), &understood) && !understood);
    CHECK_INT(tg_json_count(tg_json_get(tg_json_first(tg_json_get(j, "places")), "memory")), 0);
    tg_json_free(j);
    write_patched("blk.1.ffn_up.weight", 19 + 4 + 16, "\x10"); /* IQ2_XXS */
    CHECK_INT(INSPECT(file), 0);
    SAYS("IQ2_XXS", "of a type that this version does not run", "tensor blk.1.ffn_up.weight");
    write_patched("tokenizer.ggml.model", 20 + 4 + 8, "gemma9");
    CHECK_INT(INSPECT(file), 0);
    SAYS("tokenizer   \"gemma9\", not one", "no: ", "cpu        4096");
}

static void expect_harmless(void)
{
    for (size_t i = 0; i < command_result.out.n; i++) {
        unsigned char c = (unsigned char)command_result.out.p[i];
        CHECK(c == '\n' || (c >= 0x20 && c != 0x7f));
    }
    CHECK(!memmem(command_result.out.p, command_result.out.n, "\xc2\x9b", 2));
}

/* Nothing that could steer a terminal comes out, nor out of the reasons for a refusal. */
static void hostile_text(void)
{
    write_patched("tokenizer.ggml.model", 20 + 4 + 8, "\033[31mA");
    CHECK_INT(INSPECT(file), 0);
    SAYS("tokenizer.ggml.model is \"\\x1b[31mA\", this");
    expect_harmless();
    write_patched("general.architecture", 20 + 4 + 8, "\033[31mA");
    CHECK_INT(INSPECT(file), 0);
    SAYS("runs gemma4, not \\x1b[31mA");
    expect_harmless();
    write_patched("general.name", 12 + 4 + 8, "\033]0;\a\r\x9b");
    CHECK_INT(INSPECT(file, "--keys"), 0);
    expect_harmless();
    CHECK_INT(INSPECT(file, "--json"), 0);
    struct tg_json *j = command_json();
    CHECK(j != NULL);
    tg_json_free(j);
}

static void refused(int status, const char *text)
{
    CHECK_INT(command_result.status, status);
    CHECK_STR(command_result.out.p, "");
    if (!strstr(command_result.err.p, text))
        CHECK_FAIL("\"%s\" does not say \"%s\"", command_result.err.p, text);
}

static void no_model_at_all(void)
{
    INSPECT(GOLDEN "README.md");
    refused(1, "README.md");
    INSPECT(GOLDEN "none.gguf");
    refused(1, "none.gguf");
    write_file("GGUF\3\0\0\0\377\377\377\377\377\377\377\377", 16);
    INSPECT(file);
    refused(1, file);
    command_run(le_cmd_inspect, (const char *const[]){ "inspect", NULL }, NULL);
    refused(2, "name a GGUF file");
    INSPECT("--precision", "low", file);
    refused(2, "exact, fast or auto");
    CHECK_INT(INSPECT("--help"), 0);
    SAYS("usage: inspect");
}

/* The same that the engine refuses; 4096 is what the model was trained for. */
static void contexts(void)
{
    CHECK_INT(INSPECT("--context", "4096", GOLDEN "tiny-dense-Q8_0.gguf"), 0);
    INSPECT("--context", "4097", GOLDEN "tiny-dense-Q8_0.gguf");
    refused(2, "a context of 4097 is not possible; the model allows 2 to 4096");
    INSPECT("--context", "1", GOLDEN "tiny-dense-Q8_0.gguf", "--json");
    refused(2, "a context of 1 is not possible");
    struct rebuild r;
    CHECK(rebuild_start(&r, GOLDEN "tiny-dense-Q8_0.gguf"));
    gguf_patch(&r.file, gguf_find(&r.file, "gemma4.context_length") + 21 + 4, 1, 4);
    write_file(r.file.p, r.file.n);
    rebuild_free(&r);
    CHECK_INT(INSPECT(file), 0);
    SAYS("runs here   cpu     no: ", "a context of 1 is not possible; the model allows 2 to 1");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(models_as_text), CASE(a_model_as_json), CASE(files_of_others), CASE(hostile_text),
        CASE(no_model_at_all), CASE(contexts),
    };
    snprintf(file, sizeof(file), "%s/tollgate-XXXXXX", P_tmpdir);
    int fd = mkstemp(file);
    if (fd < 0)
        return 1;
    close(fd);
    int status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    unlink(file);
    return status;
}
