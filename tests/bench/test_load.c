/* Loading a file of real size: what it may take of the machine's memory. Opt-in, for it writes and
 * loads gigabytes:
 *
 *     TOLLGATE_LOAD_DIR=/big/disk TOLLGATE_LOAD_GB=8 ctest --test-dir build -L load -V
 *
 * TOLLGATE_LOAD_SHAPE and TOLLGATE_LOAD_TYPE: as make_model's, default 31b q4_0, cut to the size.
 * Each load is in a process of its own, so that the peak of its memory is its own. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "local_engine/device.h"
#include "local_engine/memory.h"
#include "local_engine/model.h"
#include "tests/bench/synth.h"

#define GIB ((uint64_t)1 << 30)
#define MIB ((uint64_t)1 << 20)

enum { CONTEXT = 512, PROMPT = 8, STEPS = 4, PATH_BYTES = 512 };

static char folder[PATH_BYTES], path[PATH_BYTES + 32];
static uint64_t file_bytes;

/* Of this process, in bytes. */
struct resident {
    uint64_t now, file, peak; /* file: pages of mapped files, part of now */
};

static uint64_t status_line(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static struct resident read_resident(void)
{
    char text[8192];
    FILE *f = fopen("/proc/self/status", "r");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    return (struct resident){ status_line(text, "VmRSS:"), status_line(text, "RssFile:"),
                              status_line(text, "VmHWM:") };
}

/* What a load came to; told to the parent through a pipe. */
struct outcome {
    bool ran;
    char text[512];
    char device[256];
    struct resident before, loaded, ran_steps;
    uint64_t used;       /* by the backend: buffers and weights */
    uint64_t outside;    /* most that was resident while loading, less what the backend has */
    double load_s, step_s;
    int32_t id[STEPS];
};

struct watch {
    const struct le_ops *ops;
    struct le_backend *be;
    struct outcome *o;
    uint64_t calls;
};

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct watch *w = arg;
    uint64_t used, most, now = read_resident().now;
    (void)done;
    (void)total;
    w->ops->memory(w->be, &used, &most);
    w->calls++;
    if (now > used && now - used > w->o->outside)
        w->o->outside = now - used;
}

static int32_t largest(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

static enum tg_status generate(struct le_model *m, struct outcome *o, struct tg_error *err)
{
    int32_t ids[PROMPT];
    uint32_t last = PROMPT - 1, zero = 0, n = le_model_params(m)->n_vocab;
    for (uint32_t i = 0; i < PROMPT; i++)
        ids[i] = (int32_t)(500 + 97 * i);
    enum tg_status st = le_model_step(m, ids, PROMPT, 0, &last, 1, err);
    for (uint32_t i = 0; !st && i < STEPS; i++) {
        o->id[i] = largest(le_model_logits(m, 0), n);
        st = le_model_step(m, &o->id[i], 1, PROMPT + i, &zero, 1, err);
    }
    return st;
}

static void load(const struct le_device_options *device, struct outcome *o)
{
    struct tg_error err = { .text = "" };
    struct le_gguf *g = NULL;
    struct le_model *m = NULL;
    struct watch w = { .o = o };
    enum tg_status st = le_device_open(device, &w.ops, &w.be, &err);
    if (!st)
        st = le_gguf_open(path, &g, &err);
    o->before = read_resident();
    int64_t start = tg_mono_ns();
    if (!st)
        st = le_model_open(g, w.ops, w.be,
                           &(struct le_model_options){ .context = CONTEXT, .arg = &w,
                                                       .progress = on_progress }, &m, &err);
    o->load_s = (double)(tg_mono_ns() - start) * 1e-9;
    o->loaded = read_resident();
    if (!st) {
        uint64_t most;
        w.ops->memory(w.be, &o->used, &most);
        snprintf(o->device, sizeof(o->device), "%s", w.ops->describe(w.be));
        start = tg_mono_ns();
        st = generate(m, o, &err);
        o->step_s = (double)(tg_mono_ns() - start) * 1e-9;
    }
    o->ran_steps = read_resident();
    o->ran = st == TG_OK && w.calls > 0;
    snprintf(o->text, sizeof(o->text), "%s", st ? err.text : "no progress was told");
    le_model_close(m);
    if (w.be)
        w.ops->close(w.be);
    le_gguf_close(g);
}

/* In a child; false when it ended without a word. */
static bool load_apart(const struct le_device_options *device, struct outcome *o)
{
    int fd[2], status = -1;
    if (pipe(fd) != 0)
        return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        static struct outcome own;
        close(fd[0]);
        load(device, &own);
        _exit(write(fd[1], &own, sizeof(own)) == (ssize_t)sizeof(own) ? 0 : 1);
    }
    close(fd[1]);
    size_t got = 0;
    for (ssize_t n; got < sizeof(*o); got += (size_t)n)
        if ((n = read(fd[0], (char *)o + got, sizeof(*o) - got)) <= 0)
            break;
    close(fd[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && got == sizeof(*o) && status == 0;
}

static void run(const struct le_device_options *device, struct outcome *o)
{
    struct le_memory memory;
    le_memory_read("", &memory);
    if (memory.available < file_bytes + 2 * GIB)
        CHECK_FAIL("%.1f GB of memory are free; a file of %.1f GB needs 2 GiB more than itself: "
                   "set a smaller TOLLGATE_LOAD_GB", (double)memory.available / 1e9,
                   (double)file_bytes / 1e9);
    memset(o, 0, sizeof(*o));
    if (!load_apart(device, o))
        CHECK_FAIL("the loading process was ended; was it the system's, for want of memory?");
    if (!o->ran)
        CHECK_FAIL("%s", o->text);
    fprintf(stderr, "%s: file %.2f GB, loaded in %.1f s; backend %.2f GB; resident %.2f GB (files "
            "%.2f), peak %.2f; outside the backend at most %.0f MiB, of which %.0f before; %d "
            "tokens read and %d made in %.1f s\n", o->device, (double)file_bytes / 1e9, o->load_s,
            (double)o->used / 1e9, (double)o->loaded.now / 1e9, (double)o->loaded.file / 1e9,
            (double)o->ran_steps.peak / 1e9, (double)o->outside / (double)MIB,
            (double)o->before.now / (double)MIB, PROMPT, STEPS, o->step_s);
}

/* The file's pages, or packed ones in their place, and what a small context needs. */
static void check_cpu(enum le_precision_choice precision)
{
    static struct outcome o;
    run(&(struct le_device_options){ .device = LE_DEVICE_CPU, .precision = precision }, &o);
    CHECK(o.ran_steps.peak > file_bytes / 2); /* it did load */
    if (o.ran_steps.peak > file_bytes + GIB)
        CHECK_FAIL("peak %.2f GB, the file has %.2f GB and 1 GiB is allowed on top",
                   (double)o.ran_steps.peak / 1e9, (double)file_bytes / 1e9);
}

static void the_cpu_stays_within_the_file_exact(void)
{
    check_cpu(LE_PRECISION_EXACT);
}

static void the_cpu_stays_within_the_file_fast(void)
{
    check_cpu(LE_PRECISION_FAST);
}

/* On a software driver the device's memory is the process's own: what is resident beyond it is
 * staging, and pages of the file that have not been let go; the peak sees what came and went
 * between two tensors too. A device with memory of its own shows nothing here: test_vulkan_memory
 * counts what is staged for one. */
static void uploading_stages_little(void)
{
    static struct outcome o;
    run(&(struct le_device_options){ .device = LE_DEVICE_VULKAN }, &o);
    CHECK(o.used > file_bytes * 9 / 10);
    if (o.outside > o.before.now + 256 * MIB)
        CHECK_FAIL("%.0f MiB were resident outside the device's memory, %.0f before loading: 256 "
                   "MiB are allowed", (double)o.outside / (double)MIB,
                   (double)o.before.now / (double)MIB);
    if (strstr(o.device, "llvmpipe") && o.loaded.peak > o.used + o.before.now + 256 * MIB)
        CHECK_FAIL("peak %.2f GB while loading, the device has %.2f GB: 256 MiB are allowed more",
                   (double)o.loaded.peak / 1e9, (double)o.used / 1e9);
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    return v && *v ? v : otherwise;
}

/* The fewest layers that reach the size. */
static enum tg_status make_file(struct tg_error *err)
{
    static struct synth_plan plan;
    double gb = strtod(setting("TOLLGATE_LOAD_GB", "8"), NULL);
    struct synth_options o = { .out = path, .seed = 1, .vocab_size = SYNTH_VOCAB_FULL };
    o.shape = synth_find_shape(setting("TOLLGATE_LOAD_SHAPE", "31b"));
    o.mix = synth_find_mix(setting("TOLLGATE_LOAD_TYPE", "q4_0"));
    if (!o.shape || !o.mix || !(gb > 0))
        return tg_fail(err, TG_INVALID, "TOLLGATE_LOAD_SHAPE, _TYPE or _GB is not possible");
    enum tg_status st = TG_OK;
    for (o.layers = 1; !st && o.layers <= o.shape->layers; o.layers++) {
        st = synth_plan(&o, SYNTH_VOCAB_FULL, &plan, err);
        if (st || (double)plan.total >= gb * 1e9 || o.layers == o.shape->layers)
            break;
    }
    if (!st)
        st = synth_write(&o, NULL, err);
    if (!st)
        file_bytes = plan.total;
    return st;
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(uploading_stages_little),
        CASE(the_cpu_stays_within_the_file_exact),
        CASE(the_cpu_stays_within_the_file_fast),
    };
    struct tg_error err = { .text = "" };
    const char *dir = setting("TOLLGATE_LOAD_DIR", NULL);
    if (!dir) {
        fprintf(stderr, "skipped: TOLLGATE_LOAD_DIR names no folder for the file\n");
        return 77;
    }
    snprintf(folder, sizeof(folder), "%s/tollgate-load-XXXXXX", dir);
    if (!mkdtemp(folder)) {
        fprintf(stderr, "%s: a folder cannot be made there\n", dir);
        return 1;
    }
    snprintf(path, sizeof(path), "%s/model.gguf", folder);
    int status = 1;
    if (make_file(&err))
        fprintf(stderr, "%s\n", err.text);
    else
        status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    unlink(path);
    rmdir(folder);
    return status;
}
