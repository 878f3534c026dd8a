/* How exchanges end with the program. Internal to gateway/; loop thread. */
#ifndef GATEWAY_ENDING_H
#define GATEWAY_ENDING_H

struct gw_app;
struct gw_exchange;

/* The drain's time is over: ends all that run or wait with an error that says so, those that a
 * worker is at too; what a new one gets from now on is the same. An answer that is whole and only
 * has to be printed still leaves. Behind it nothing is paid any more. */
void gw_exchange_fail_all(struct gw_app *app);
/* Ends x with that error. */
void gw_exchange_too_late(struct gw_exchange *x);
/* Ends everything now, without a word (second SIGTERM). */
void gw_exchange_end_all(struct gw_app *app);

#endif
