/* curl's multi interface on libevent: the sockets and the timer that curl wants to be woken for.
 * Internal to providers/. Loop thread. */
#ifndef PROVIDERS_CURL_EVENTS_H
#define PROVIDERS_CURL_EVENTS_H

#include <curl/curl.h>
#include <stdbool.h>

struct event;
struct event_base;

struct prov_curl_events {
    struct event_base *base;
    CURLM *multi;
    struct event *timer; /* what curl asked for */
    void *arg;
    /* A socket is ready, or (CURL_SOCKET_TIMEOUT) the time has come. */
    void (*drive)(void *arg, curl_socket_t fd, int mask);
    /* Out of memory: a socket of this transfer cannot be watched. Called from inside curl. */
    void (*lost)(void *arg, CURL *easy);
    struct socket_watch **kept; /* by descriptor */
    size_t n_kept;
};

/* Makes the multi handle and its timer. base, arg, drive and lost are set by the caller. False when
 * out of memory; prov_curl_events_close is due all the same. */
bool prov_curl_events_open(struct prov_curl_events *e);
/* After all transfers were removed. */
void prov_curl_events_close(struct prov_curl_events *e);
/* Told of these, what is watched for a connection's socket is kept between its requests. Of a
 * socket that was not told to be opened nothing is kept. */
void prov_curl_events_opened(struct prov_curl_events *e, curl_socket_t fd);
/* For CURLOPT_CLOSESOCKETFUNCTION, events as its data. */
int prov_curl_events_close_socket(void *events, curl_socket_t fd);

#endif
