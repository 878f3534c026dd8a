/* Hashes of model files: what is read, what is remembered, and when it is read again. */
#include "gateway/model_hash.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "gateway/files.h"
#include "tests/unit/check.h"

static char dir[64];
static atomic_bool stop;

static const char *at(const char *name)
{
    static char path[4][128];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
    return path[next];
}

static void put(const char *name, const char *text)
{
    struct tg_error err;
    if (gw_file_write(at(name), tg_str_of(text), &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
}

static void set_up(void)
{
    strcpy(dir, "/tmp/tollgate-hash-XXXXXX");
    CHECK(mkdtemp(dir));
    stop = false;
    tg_log_set_level(TG_LOG_ERROR);
}

static void tear_down(void)
{
    char command[128];
    chmod(dir, 0755);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
}

static enum tg_status known(const char *model, char hex[TG_SHA256_HEX + 1], struct tg_error *err)
{
    return gw_model_hash_known(&(struct gw_model_place){ .data_dir = dir, .model = model }, hex,
                               err);
}

static enum tg_status hash(const char *model, const atomic_bool *until, char hex[TG_SHA256_HEX + 1],
                           struct tg_error *err)
{
    return gw_model_hash(&(struct gw_model_place){ .data_dir = dir, .model = model }, until, hex,
                         err);
}

static void one_file(void)
{
    char hex[TG_SHA256_HEX + 1], want[TG_SHA256_HEX + 1];
    struct tg_error err;
    set_up();
    put("m.gguf", "abc");
    tg_sha256_text(TG_STR("abc"), want);
    CHECK_INT(known(at("m.gguf"), hex, &err), TG_AGAIN);
    CHECK_STR(hex, "");
    CHECK(access(at("model-hashes.json"), F_OK) != 0); /* looking writes nothing */
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    CHECK_STR(hex, want);
    CHECK_INT(known(at("m.gguf"), hex, &err), TG_OK);
    CHECK_STR(hex, want);
    stop = true; /* what is known needs no reading */
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    CHECK_INT(hash(at("none.gguf"), &stop, hex, &err), TG_NOTFOUND);
    CHECK(strstr(err.text, "none.gguf"));
    put("n.gguf", "other");
    CHECK_INT(hash(at("n.gguf"), &stop, hex, &err), TG_CANCELLED);
    CHECK_STR(hex, "");
    tear_down();
}

static void small_ones(void)
{
    set_up();
    put("m.gguf", "abc");
    put("m-00001-of-00002.gguf", "abc");
    put("m-00002-of-00002.gguf", "abc");
    CHECK(gw_model_hash_is_small(at("m.gguf")));
    CHECK(!gw_model_hash_is_small(at("m-00001-of-00002.gguf")));
    CHECK(!gw_model_hash_is_small(at("none.gguf")));
    CHECK_INT(truncate(at("m.gguf"), GW_MODEL_HASH_SMALL), 0);
    CHECK(gw_model_hash_is_small(at("m.gguf")));
    CHECK_INT(truncate(at("m.gguf"), GW_MODEL_HASH_SMALL + 1), 0);
    CHECK(!gw_model_hash_is_small(at("m.gguf")));
    tear_down();
}

/* Over the same inode, and then with the time of modification that the file had before. */
static void overwrite(const char *name, const char *text, const struct timespec times[2])
{
    const struct timespec tick = { 0, 20000000 }; /* times of change go by the kernel's ticks */
    CHECK_INT(nanosleep(&tick, NULL), 0);
    FILE *f = fopen(at(name), "r+");
    CHECK(f);
    fputs(text, f);
    CHECK_INT(fclose(f), 0);
    CHECK_INT(utimensat(AT_FDCWD, at(name), times, 0), 0);
}

/* Size, a time or the inode: each makes it another file. */
static void a_changed_file_is_read_again(void)
{
    char hex[TG_SHA256_HEX + 1], want[TG_SHA256_HEX + 1];
    struct tg_error err;
    struct timespec times[2] = { { 1000, 5 }, { 1000, 5 } };
    set_up();
    put("m.gguf", "abc");
    CHECK_INT(utimensat(AT_FDCWD, at("m.gguf"), times, 0), 0);
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    times[1].tv_nsec = 6;
    CHECK_INT(utimensat(AT_FDCWD, at("m.gguf"), times, 0), 0);
    CHECK_INT(known(at("m.gguf"), hex, &err), TG_AGAIN);
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    put("new", "abd"); /* the same size and time, another inode */
    CHECK_INT(utimensat(AT_FDCWD, at("new"), times, 0), 0);
    CHECK_INT(rename(at("new"), at("m.gguf")), 0);
    CHECK_INT(known(at("m.gguf"), hex, &err), TG_AGAIN);
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    tg_sha256_text(TG_STR("abd"), want);
    CHECK_STR(hex, want);
    overwrite("m.gguf", "abx", times); /* the same but for the time of change */
    CHECK_INT(known(at("m.gguf"), hex, &err), TG_AGAIN);
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    tg_sha256_text(TG_STR("abx"), want);
    CHECK_STR(hex, want);
    overwrite("m.gguf", "abxy", times); /* a byte more */
    CHECK_INT(known(at("m.gguf"), hex, &err), TG_AGAIN);
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    tg_sha256_text(TG_STR("abxy"), want);
    CHECK_STR(hex, want);
    tear_down();
}

static void split_models(void)
{
    char hex[TG_SHA256_HEX + 1], part[TG_SHA256_HEX + 1], all[2 * TG_SHA256_HEX + 1];
    struct tg_error err;
    set_up();
    put("m-00001-of-00002.gguf", "first");
    put("m-00002-of-00002.gguf", "second");
    tg_sha256_text(TG_STR("first"), part);
    strcpy(all, part);
    tg_sha256_text(TG_STR("second"), part);
    strcat(all, part);
    tg_sha256_text(tg_str_of(all), part);
    CHECK_INT(hash(at("m-00001-of-00002.gguf"), &stop, hex, &err), TG_OK);
    CHECK_STR(hex, part);
    CHECK_INT(known(at("m-00001-of-00002.gguf"), hex, &err), TG_OK);
    CHECK_STR(hex, part);
    put("m-00002-of-00002.gguf", "another");
    CHECK_INT(known(at("m-00001-of-00002.gguf"), hex, &err), TG_AGAIN);
    /* A merged file that kept its first part's name has nothing beside it. */
    put("k-00001-of-00003.gguf", "merged");
    tg_sha256_text(TG_STR("merged"), part);
    CHECK_INT(hash(at("k-00001-of-00003.gguf"), &stop, hex, &err), TG_OK);
    CHECK_STR(hex, part);
    static const char *const single[] = { "00001-of-00002.gguf", "m-00001-of-00001.gguf",
                                          "m-00001-of-0000x.gguf", "m-00002-of-00002.gguf" };
    for (size_t i = 0; i < 4; i++) {
        put(single[i], "merged");
        CHECK_INT(hash(at(single[i]), &stop, hex, &err), TG_OK);
        CHECK_STR(hex, part);
    }
    tear_down();
}

static struct le_file_id id_of(const char *name)
{
    struct stat s;
    CHECK_INT(stat(at(name), &s), 0);
    return (struct le_file_id){ s.st_dev, s.st_ino, (uint64_t)s.st_size, s.st_mtim, s.st_ctim };
}

/* What the path leads to now is not what the engine opened: no hash, known or not. */
static void another_than_was_opened(void)
{
    char hex[TG_SHA256_HEX + 1];
    struct tg_error err;
    set_up();
    put("m.gguf", "abc");
    put("new.gguf", "abd");
    struct le_file_id id = id_of("m.gguf"), both[2];
    struct gw_model_place place = { dir, at("m.gguf"), &id, 1 };
    char *model = strdup(place.model);
    place.model = model;
    CHECK_INT(gw_model_hash_known(&place, hex, &err), TG_AGAIN);
    CHECK_INT(gw_model_hash(&place, &stop, hex, &err), TG_OK);
    CHECK_INT(gw_model_hash_known(&place, hex, &err), TG_OK);
    CHECK_INT(rename(at("new.gguf"), model), 0);
    CHECK_INT(gw_model_hash_known(&place, hex, &err), TG_CLOSED);
    CHECK_INT(gw_model_hash(&place, &stop, hex, &err), TG_CLOSED);
    CHECK(strstr(err.text, "m.gguf: was replaced or changed since the engine opened it"));
    CHECK_STR(hex, "");
    CHECK_INT(hash(model, &stop, hex, &err), TG_OK); /* asked for by nobody, it has one */
    CHECK_INT(gw_model_hash_known(&place, hex, &err), TG_CLOSED);
    for (int field = 0; field < 6; field++) {
        id = id_of("m.gguf");
        uint64_t *number[] = { &id.device, &id.inode, &id.size };
        struct timespec *time[] = { &id.modified, &id.changed };
        CHECK_INT(gw_model_hash_known(&place, hex, &err), TG_OK);
        if (field < 3)
            ++*number[field];
        else if (field < 5)
            time[field - 3]->tv_nsec ^= 1;
        else
            id.changed.tv_sec++;
        CHECK_INT(gw_model_hash_known(&place, hex, &err), TG_CLOSED);
    }
    free(model);
    put("m-00001-of-00002.gguf", "first");
    put("m-00002-of-00002.gguf", "second");
    both[0] = id_of("m-00001-of-00002.gguf");
    both[1] = id_of("m-00002-of-00002.gguf");
    place = (struct gw_model_place){ dir, at("m-00001-of-00002.gguf"), both, 2 };
    model = strdup(place.model);
    place.model = model;
    CHECK_INT(gw_model_hash(&place, &stop, hex, &err), TG_OK);
    put("m-00002-of-00002.gguf", "other");
    CHECK_INT(gw_model_hash(&place, &stop, hex, &err), TG_CLOSED);
    CHECK(strstr(err.text, "m-00002-of-00002.gguf: was replaced"));
    CHECK_INT(unlink(at("m-00002-of-00002.gguf")), 0); /* not taken for a model of one file */
    CHECK_INT(gw_model_hash(&place, &stop, hex, &err), TG_NOTFOUND);
    put("m-00002-of-00002.gguf", "a stranger"); /* beside a merged model that kept its name */
    place.n_opened = 1;
    CHECK_INT(gw_model_hash(&place, &stop, hex, &err), TG_OK);
    char want[TG_SHA256_HEX + 1];
    tg_sha256_text(TG_STR("first"), want);
    CHECK_STR(hex, want);
    free(model);
    tear_down();
}

static void a_bad_cache_is_only_a_cache(void)
{
    static const char *const bad[] = {
        "", "{", "[]", "{\"version\":2,\"files\":{}}", "{\"version\":1}",
        "{\"version\":1,\"files\":{\"1:2:3:4.5\":7,\"x\":\"y\"}}",
    };
    char hex[TG_SHA256_HEX + 1], want[TG_SHA256_HEX + 1];
    struct tg_error err;
    set_up();
    put("m.gguf", "abc");
    tg_sha256_text(TG_STR("abc"), want);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        put("model-hashes.json", bad[i]);
        CHECK_INT(known(at("m.gguf"), hex, &err), TG_AGAIN);
        CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
        CHECK_STR(hex, want);
        CHECK_INT(known(at("m.gguf"), hex, &err), TG_OK);
    }
    CHECK_INT(unlink(at("model-hashes.json")), 0);
    CHECK_INT(mkdir(at("model-hashes.json"), 0755), 0); /* cannot be written at all */
    CHECK_INT(hash(at("m.gguf"), &stop, hex, &err), TG_OK);
    CHECK_STR(hex, want);
    tear_down();
}

static void the_cache_is_bounded(void)
{
    char hex[TG_SHA256_HEX + 1], name[32];
    struct tg_error err;
    struct tg_buf text;
    set_up();
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "m%d.gguf", i);
        put(name, name);
        CHECK_INT(hash(at(name), &stop, hex, &err), TG_OK);
    }
    CHECK_INT(known(at("m0.gguf"), hex, &err), TG_AGAIN);
    CHECK_INT(known(at("m299.gguf"), hex, &err), TG_OK);
    CHECK_INT(known(at("m45.gguf"), hex, &err), TG_OK);
    tg_buf_init(&text, 1 << 20);
    CHECK_INT(gw_file_read(at("model-hashes.json"), &text, &err), TG_OK);
    CHECK(text.n < 64 << 10);
    tg_buf_free(&text);
    tear_down();
}

static void failing_allocations(void)
{
    char hex[TG_SHA256_HEX + 1], want[TG_SHA256_HEX + 1];
    struct tg_error err;
    set_up();
    put("m-00001-of-00002.gguf", "first");
    put("m-00002-of-00002.gguf", "second");
    tg_alloc_fail_nth(0);
    CHECK_INT(hash(at("m-00001-of-00002.gguf"), &stop, want, &err), TG_OK);
    uint64_t count = tg_alloc_count();
    for (uint64_t nth = 1; nth <= count + 5; nth++) {
        unlink(at("model-hashes.json"));
        tg_alloc_fail_nth(nth);
        enum tg_status s = hash(at("m-00001-of-00002.gguf"), &stop, hex, &err);
        tg_alloc_fail_nth(0);
        CHECK(s == TG_NOMEM || (s == TG_OK && strcmp(hex, want) == 0));
    }
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(one_file), CASE(small_ones), CASE(a_changed_file_is_read_again), CASE(split_models),
        CASE(another_than_was_opened),
        CASE(a_bad_cache_is_only_a_cache), CASE(the_cache_is_bounded), CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
