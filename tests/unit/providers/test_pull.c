#include "providers/pull.h"

#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "providers/pull_file.h"
#include "tests/unit/check.h"

/* --- a server of one file, a request a connection -------------------------------------------- */

enum { BODY = 5000 };

static struct {
    int fd;
    uint16_t port;
    char body[BODY];
    char sha256[TG_SHA256_HEX + 1];
} server;

static void answer(int fd)
{
    char request[4096], head[400];
    size_t n = 0;
    while (n < sizeof(request) - 1) {
        ssize_t got = read(fd, request + n, sizeof(request) - 1 - n);
        if (got <= 0)
            return;
        n += (size_t)got;
        request[n] = '\0';
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    int length = snprintf(head, sizeof(head),
                          "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Linked-Size: %d\r\n"
                          "X-Linked-ETag: \"%s\"\r\nConnection: close\r\n\r\n",
                          BODY, BODY, server.sha256);
    if (write(fd, head, (size_t)length) == length && request[0] == 'G')
        (void)!write(fd, server.body, BODY);
}

static void *serve(void *arg)
{
    for (;;) {
        int fd = accept(server.fd, NULL, NULL);
        if (fd < 0)
            return arg;
        answer(fd);
        close(fd);
    }
}

static void start_server(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);
    pthread_t thread;
    memcpy(server.body, "GGUF", 4);
    for (size_t i = 4; i < BODY; i++)
        server.body[i] = (char)(i * 7);
    tg_sha256_text((struct tg_str){ server.body, BODY }, server.sha256);
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.fd < 0 || bind(server.fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(server.fd, 16) != 0 || getsockname(server.fd, (struct sockaddr *)&at, &n) != 0 ||
        pthread_create(&thread, NULL, serve, NULL) != 0 || pthread_detach(thread) != 0)
        abort();
    server.port = ntohs(at.sin_port);
}

/* --- the other side -------------------------------------------------------------------------- */

static char folder[300];

static void empty_folder(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

static void remove_folder(void)
{
    empty_folder();
    rmdir(folder);
}

static bool go_on(void *arg, enum prov_pull_phase phase, int64_t done, int64_t total)
{
    (void)arg;
    (void)phase;
    (void)done;
    (void)total;
    return true;
}

static void hear(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

static char url[100];

static struct prov_pull request(void)
{
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/m.gguf", server.port);
    return (struct prov_pull){ .url = url,
                               .dir = folder,
                               .name = "m.gguf",
                               .token = "t0123456",
                               .tries = 1,
                               .connect_ms = 5000,
                               .stall_ms = 5000,
                               .on_progress = go_on,
                               .on_note = hear };
}

static bool stored(void)
{
    char path[400], body[BODY + 1];
    snprintf(path, sizeof(path), "%s/m.gguf", folder);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(body, 1, sizeof(body), f) : 0;
    if (f)
        fclose(f);
    return n == BODY && memcmp(body, server.body, BODY) == 0;
}

static void every_allocation_may_fail(void)
{
    for (uint64_t nth = 1;; nth++) {
        struct prov_pull p = request();
        struct prov_pull_done done;
        struct prov_pull_look look;
        struct tg_error err = { 0 };
        enum tg_status status = TG_NOMEM;
        tg_alloc_fail_nth(nth);
        struct prov_getter *g = prov_getter_new(&err);
        if (g)
            status = prov_pull_look(g, &p, &look, &err);
        if (g && status == TG_OK)
            status = prov_pull_fetch(g, &p, &done, &err);
        bool all = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        prov_getter_free(g);
        CHECK(status == TG_OK ? stored() : err.code == status && err.text[0]);
        CHECK(status == TG_OK || !stored());
        empty_folder();
        if (all) {
            CHECK_INT(status, TG_OK);
            break;
        }
    }
}

static void fetches(void)
{
    struct prov_pull p = request();
    struct prov_pull_done done;
    struct prov_pull_look look;
    struct tg_error err;
    struct prov_getter *g = prov_getter_new(&err);
    CHECK_INT(prov_pull_look(g, &p, &look, &err), TG_OK);
    CHECK(!look.there && look.size == BODY && look.have == 0);
    CHECK_INT(prov_pull_fetch(g, &p, &done, &err), TG_OK);
    CHECK(stored() && done.checked && !done.was_there);
    CHECK_STR(done.sha256, server.sha256);
    CHECK_INT(prov_pull_look(g, &p, &look, &err), TG_OK);
    CHECK(look.there && look.have == BODY);
    p.name = "../m.gguf";
    CHECK_INT(prov_pull_fetch(g, &p, &done, &err), TG_INVALID);
    p.name = ".gguf";
    CHECK_INT(prov_pull_fetch(g, &p, &done, &err), TG_INVALID);
    p.name = "m.bin";
    CHECK_INT(prov_pull_fetch(g, &p, &done, NULL), TG_INVALID);
    prov_getter_free(g);
    prov_getter_free(NULL);
    empty_folder();
}

static void state_survives_anything(void)
{
    static const char *const texts[] = {
        "", "{", "[]", "{\"url\":1}", "{\"url\":\"\"}", "null",
    };
    struct prov_pull_file f;
    struct prov_pull_state s = { .size = 7, .linked = true, .complete = true }, t;
    CHECK_INT(prov_pull_file_name(&f, folder, "m.gguf", NULL), TG_OK);
    CHECK(!prov_pull_state_read(f.json, &t) && t.size == -1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        FILE *out = fopen(f.json, "w");
        fputs(texts[i], out);
        fclose(out);
        CHECK(!prov_pull_state_read(f.json, &t) && t.size == -1 && !t.complete);
    }
    snprintf(s.url, sizeof(s.url), "https://h/a \"b\\");
    snprintf(s.etag, sizeof(s.etag), "\"x\"");
    memcpy(s.sha256, server.sha256, sizeof(s.sha256));
    CHECK_INT(prov_pull_state_write(&f, &s, NULL), TG_OK);
    CHECK(prov_pull_state_read(f.json, &t));
    CHECK(strcmp(s.url, t.url) == 0 && strcmp(s.etag, t.etag) == 0 && t.size == 7 && t.linked &&
          t.complete && !t.checked && strcmp(s.sha256, t.sha256) == 0);
    /* what would go into a header, or be taken for a hash, is doubted */
    FILE *out = fopen(f.json, "w");
    fputs("{\"url\":\"u\",\"size\":-3,\"sha256\":\"ABC\",\"etag\":\"\\\"a\\r\\nX: y\\\"\"}", out);
    fclose(out);
    CHECK(prov_pull_state_read(f.json, &t));
    CHECK(t.size == -1 && !t.sha256[0] && !t.etag[0]);
    char name[5000];
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    CHECK_INT(prov_pull_file_name(&f, folder, name, NULL), TG_LIMIT);
    empty_folder();
}

static void urls(void)
{
    static const struct { const char *url; bool insecure, fine; } table[] = {
        { "https://h/x", false, true }, { "http://h/x", false, false },
        { "http://h/x", true, true },
        { "http://127.0.0.1/x", false, true }, { "http://[::1]:8/x", false, true },
        { "http://localhost/x", false, true }, { "http://localhost.evil/x", false, false },
        { "http://127.0.0.1.evil/x", false, false }, { "https://u@h/x", true, false },
        { "https://u:p@h/x", true, false }, { "https://h/x#f", true, false },
        { "ftp://h/x", true, false }, { "file:///x", true, false }, { "h/x", true, false },
        { "", true, false }, { "https://", true, false }, { "https://h:99999/", true, false },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if ((prov_url_check(table[i].url, table[i].insecure, NULL) == TG_OK) != table[i].fine)
            CHECK_FAIL("%s", table[i].url);
    CHECK(prov_url_same_origin("https://h/a", "https://H:443/b?c"));
    CHECK(!prov_url_same_origin("https://h/a", "http://h/a"));
    CHECK(!prov_url_same_origin("https://h/a", "https://h:8/a"));
    CHECK(!prov_url_same_origin("https://h/a", "https://h.evil/a"));
    CHECK(!prov_url_same_origin("https://h/a", "nonsense"));
    char next[64];
    CHECK_INT(prov_url_follow("https://h/a/b?c", "../d?e", next, sizeof(next), NULL), TG_OK);
    CHECK_STR(next, "https://h/d?e");
    CHECK_INT(prov_url_follow("https://h/a", "//k/d", next, sizeof(next), NULL), TG_OK);
    CHECK_STR(next, "https://k/d");
    CHECK_INT(prov_url_follow("https://h/a", "/aaaaaaaaaa", next, 10, NULL), TG_LIMIT);
    CHECK_INT(prov_url_follow("https://h/a", "http://[::", next, sizeof(next), NULL), TG_INVALID);
}

static void folders(void)
{
    char path[400];
    struct tg_error err;
    struct stat info;
    snprintf(path, sizeof(path), "%s/a/b//c/", folder);
    CHECK_INT(prov_pull_folder(path, &err), TG_OK);
    CHECK(stat(path, &info) == 0 && S_ISDIR(info.st_mode));
    CHECK_INT(prov_pull_folder(path, &err), TG_OK);
    CHECK_INT(prov_pull_folder("", &err), TG_INVALID);
    CHECK_INT(prov_pull_folder("/proc/none/x", &err), TG_IO);
    CHECK_INT(prov_pull_room(folder, 1, &err), TG_OK);
    CHECK_INT(prov_pull_room(folder, INT64_MAX, &err), TG_LIMIT);
    CHECK(strstr(err.text, "GiB are needed"));
    for (const char *part = "a/b/c"; part; part = strcmp(part, "a/b/c") == 0   ? "a/b"
                                                  : strcmp(part, "a/b") == 0 ? "a"
                                                                             : NULL) {
        snprintf(path, sizeof(path), "%s/%s", folder, part);
        CHECK_INT(rmdir(path), 0);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(fetches), CASE(state_survives_anything), CASE(urls), CASE(folders),
        CASE(every_allocation_may_fail),
    };
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/tollgate-pull-XXXXXX", base && *base ? base : P_tmpdir);
    if (!mkdtemp(folder))
        return 1;
    atexit(remove_folder);
    start_server();
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
