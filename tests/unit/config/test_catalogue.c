#include "config/catalogue.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

static struct cfg_catalogue *shipped(void)
{
    struct cfg_catalogue *c;
    struct tg_error err;
    if (cfg_catalogue_load(NULL, &c, &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
    return c;
}

static void shipped_catalogue(void)
{
    static const char *const models[] = { "gemma-4-e2b-it", "gemma-4-e4b-it", "gemma-4-12b-it",
                                          "gemma-4-26b-a4b-it", "gemma-4-31b-it" };
    struct cfg_catalogue *c = shipped();
    CHECK_STR(cfg_catalogue_host(c), "https://huggingface.co");
    CHECK_INT(strlen(cfg_catalogue_version(c)), 10);
    size_t defaults = 0;
    for (size_t i = 0; i < cfg_catalogue_count(c); i++)
        defaults += cfg_catalogue_at(c, i)->is_default;
    CHECK_INT(defaults, 5);
    for (size_t i = 0; i < 5; i++) {
        const struct cfg_model_file *f, *same;
        char name[100];
        CHECK_INT(cfg_catalogue_find(c, models[i], &f, NULL), TG_OK);
        CHECK(f->is_default && f->parts == 1);
        CHECK_STR(f->tag, "q4_0");
        snprintf(name, sizeof(name), "%s:Q4_0", models[i]);
        CHECK_INT(cfg_catalogue_find(c, name, &same, NULL), TG_OK);
        CHECK(f == same);
    }
    cfg_catalogue_free(c);
    cfg_catalogue_free(NULL);
}

static void finds(void)
{
    struct cfg_catalogue *c = shipped();
    const struct cfg_model_file *f;
    char part[CFG_MODEL_NAME_MAX];
    CHECK_INT(cfg_catalogue_find(c, "GEMMA-4-31B-it:bf16", &f, NULL), TG_OK);
    CHECK_STR(f->repository, "unsloth/gemma-4-31B-it-GGUF");
    CHECK_INT(f->parts, 2);
    CHECK(cfg_model_part(f->file, f->parts, 0, part, sizeof(part)));
    CHECK_STR(part, "BF16/gemma-4-31B-it-BF16-00001-of-00002.gguf");
    CHECK(cfg_model_part(f->file, f->parts, 1, part, sizeof(part)));
    CHECK_STR(part, "BF16/gemma-4-31B-it-BF16-00002-of-00002.gguf");
    CHECK(!cfg_model_part(f->file, f->parts, 1, part, 10));
    CHECK_INT(cfg_catalogue_find(c, "some/Repo-GGUF/sub/a-00003-of-00012.gguf", &f, NULL), TG_OK);
    CHECK(!f->model && !f->tag && !f->is_default);
    CHECK_STR(f->repository, "some/Repo-GGUF");
    CHECK_STR(f->file, "sub/a-00003-of-00012.gguf");
    CHECK_INT(f->parts, 12);
    CHECK(cfg_model_part(f->file, f->parts, 11, part, sizeof(part)));
    CHECK_STR(part, "sub/a-00012-of-00012.gguf");
    cfg_catalogue_free(c);
}

static void finds_nothing(void)
{
    static const struct { const char *name; enum tg_status status; const char *says; } table[] = {
        { "", TG_NOTFOUND, "gemma-4-e2b-it, gemma-4-e4b-it" },
        { "gemma-5", TG_NOTFOUND, "gemma-4-31b-it" },
        { "gemma-4-e2b-it:q9", TG_NOTFOUND, "this model's tags: q4_0, " },
        { "gemma-4-e2b-it:", TG_NOTFOUND, "this model's tags: q4_0, " },
        { ":q4_0", TG_NOTFOUND, "gemma-4-e2b-it" },
        { "a/b", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/c.bin", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "../b/c.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/../c.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/../../../etc/x.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "/a/b/c.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a//b/c.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/.c.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/-c.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/c%2f.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/c?d.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/c\\d.gguf", TG_INVALID, "OWNER/REPOSITORY/FILE.gguf" },
        { "a/b/c-00003-of-00002.gguf", TG_INVALID, "part numbers" },
        { "a/b/c-00000-of-00002.gguf", TG_INVALID, "part numbers" },
        { "a/b/c-00001-of-01001.gguf", TG_INVALID, "part numbers" },
    };
    struct cfg_catalogue *c = shipped();
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        const struct cfg_model_file *f;
        struct tg_error err = { 0 };
        enum tg_status status = cfg_catalogue_find(c, table[i].name, &f, &err);
        if (status != table[i].status || f || !strstr(err.text, table[i].says))
            CHECK_FAIL("\"%s\": %s: %s", table[i].name, tg_status_name(status), err.text);
    }
    cfg_catalogue_free(c);
}

static void names_of_parts(void)
{
    static const struct { const char *file; uint32_t parts; } table[] = {
        { "a.gguf", 1 }, { "", 1 }, { "a-00001-of-00002.gguf", 2 }, { "-00001-of-00001.gguf", 1 },
        { "a-00001-of-00002.bin", 1 }, { "a-0001-of-00002.gguf", 1 }, { "a-00001of-00002.gguf", 1 },
        { "00001-of-00002.gguf", 1 }, { "a-0000x-of-00002.gguf", 1 },
        { "a-00009-of-00002.gguf", 0 }, { "a-00001-of-00000.gguf", 0 },
        { "a-01000-of-01000.gguf", 1000 },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (cfg_model_parts(tg_str_of(table[i].file)) != table[i].parts)
            CHECK_FAIL("%s: %u", table[i].file, cfg_model_parts(tg_str_of(table[i].file)));
    CHECK(!cfg_model_path_ok((struct tg_str){ "a\0b", 3 }));
    CHECK(!cfg_model_path_ok(TG_STR("a/")));
}

#define MODEL(files) \
    "{'version':'1','host':'https://h','models':{'m':{'about':'x','files':[" files "]}}}"
#define FILE_OF(tag, repository, file) \
    "{'tag':'" tag "','repository':'" repository "','file':'" file "'}"

static enum tg_status parse(const char *text, struct cfg_catalogue **out, struct tg_error *err)
{
    char copy[1000];
    size_t n = strlen(text);
    for (size_t i = 0; i <= n; i++)
        copy[i] = text[i] == '\'' ? '"' : text[i];
    return cfg_catalogue_parse((struct tg_str){ copy, n }, "C", out, err);
}

static void refused_whole(void)
{
    static const struct { const char *text, *error; } table[] = {
        { "", "C: line 1, column 1: unexpected end" },
        { "[]", "C: must be an object, is an array" },
        { "{'version':'1','host':'https://h'}", "C: needs \"models\"" },
        { "{'version':'1','host':'https://h','models':{}}", "C: needs \"models\"" },
        { "{'version':'1','models':{}}", "C: needs \"host\"" },
        { "{'version':'1','host':'http://h'}",
          "C: host: must be https://HOST without a slash at its end" },
        { "{'version':'1','host':'https://h','models':{'M':{}}}",
          "C: models.M: a name has 1 to 64 of a-z 0-9 . _ -" },
        { "{'version':'1','host':'https://h','models':{'m':{'about':'x'}}}",
          "C: models.m: needs \"about\" and \"files\", one at least" },
        { MODEL(""), "C: models.m: needs \"about\" and \"files\", one at least" },
        { MODEL("{'tag':'a'}"),
          "C: models.m.files[0]: needs \"tag\", \"repository\" and \"file\"" },
        { MODEL("{'tag':'a','bytes':1}"), "C: models.m.files[0].bytes: unknown key" },
        { MODEL(FILE_OF("A", "o/r", "f.gguf")),
          "C: models.m.files[0]: a tag has 1 to 64 of a-z 0-9 . _ -" },
        { MODEL(FILE_OF("a", "o/../r", "f.gguf")),
          "C: models.m.files[0]: repository must be OWNER/NAME of A-Z a-z 0-9 . _ -" },
        { MODEL(FILE_OF("a", "o", "f.gguf")),
          "C: models.m.files[0]: repository must be OWNER/NAME of A-Z a-z 0-9 . _ -" },
        { MODEL(FILE_OF("a", "o/r", "../f.gguf")),
          "C: models.m.files[0]: file must be a path of A-Z a-z 0-9 . _ - that ends in .gguf" },
        { MODEL(FILE_OF("a", "o/r", "f.bin")),
          "C: models.m.files[0]: file must be a path of A-Z a-z 0-9 . _ - that ends in .gguf" },
        { MODEL(FILE_OF("a", "o/r", "f-00002-of-00001.gguf")),
          "C: models.m.files[0]: file has part numbers that make no sense" },
        { MODEL(FILE_OF("a", "o/r", "f.gguf") "," FILE_OF("a", "o/r", "g.gguf")),
          "C: models.m.files[1]: the tag \"a\" is there twice" },
    };
    struct cfg_catalogue *c;
    CHECK_INT(parse(MODEL(FILE_OF("a", "o/r", "f.gguf")), &c, NULL), TG_OK);
    CHECK_INT(cfg_catalogue_count(c), 1);
    cfg_catalogue_free(c);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct tg_error err = { 0 };
        CHECK_INT(parse(table[i].text, &c, &err), TG_INVALID);
        CHECK(!c);
        CHECK_STR(err.text, table[i].error);
    }
}

static void a_file_of_ones_own(void)
{
    struct cfg_catalogue *c;
    struct tg_error err;
    CHECK_INT(cfg_catalogue_load("no-such-folder/models.json", &c, &err), TG_NOTFOUND);
    CHECK(!c && strstr(err.text, "no-such-folder/models.json: "));
    const char *path = support_write("prices.json", "{\"version\":\"1\",\"host\":\"https://h\","
                                                    "\"models\":{\"m\":{\"about\":\"x\",\"files\":["
                                                    "{\"tag\":\"t\",\"repository\":\"o/r\","
                                                    "\"file\":\"f.gguf\"}]}}}");
    CHECK_INT(cfg_catalogue_load(path, &c, NULL), TG_OK);
    CHECK_STR(cfg_catalogue_at(c, 0)->file, "f.gguf");
    cfg_catalogue_free(c);
}

static void every_allocation_may_fail(void)
{
    for (uint64_t nth = 1;; nth++) {
        struct cfg_catalogue *c;
        const struct cfg_model_file *f;
        tg_alloc_fail_nth(nth);
        enum tg_status status = cfg_catalogue_load(NULL, &c, NULL);
        if (status == TG_OK)
            status = cfg_catalogue_find(c, "a/b/c.gguf", &f, NULL);
        bool all = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        cfg_catalogue_free(c);
        if (all) {
            CHECK_INT(status, TG_OK);
            break;
        }
        CHECK_INT(status, TG_NOMEM);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(shipped_catalogue), CASE(finds), CASE(finds_nothing), CASE(names_of_parts),
        CASE(refused_whole), CASE(a_file_of_ones_own), CASE(every_allocation_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
