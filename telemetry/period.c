#include <stdio.h>
#include <string.h>
#include <time.h>

#include "telemetry/internal.h"

const char *tel_period_name(enum cfg_period period)
{
    switch (period) {
    case CFG_PERIOD_DAY:
        return "day";
    case CFG_PERIOD_WEEK:
        return "week";
    case CFG_PERIOD_MONTH:
        return "month";
    case CFG_PERIOD_NONE:
        break;
    }
    return "none";
}

/* Midnight of a date whose day or month may lie outside its range. */
static int64_t midnight_ms(int year, int month, int day, bool local)
{
    struct tm date = { .tm_year = year, .tm_mon = month, .tm_mday = day, .tm_isdst = -1 };
    return (int64_t)(local ? mktime(&date) : timegm(&date)) * 1000;
}

void tel_period_key(enum cfg_period period, const char *time_zone, int64_t now_ms,
                    struct tel_key *key, int64_t *start_ms, int64_t *end_ms)
{
    key->period = period;
    if (period == CFG_PERIOD_NONE) {
        *start_ms = INT64_MIN;
        *end_ms = INT64_MAX;
        snprintf(key->label, sizeof(key->label), "all");
        return;
    }
    bool local = time_zone && strcmp(time_zone, "local") == 0;
    const int64_t last_s = 253402300799; /* the end of year 9999: labels have four digits */
    int64_t now_s = now_ms < 0 ? 0 : now_ms / 1000;
    time_t now = (time_t)(now_s < last_s ? now_s : last_s);
    struct tm date;
    memset(&date, 0, sizeof(date));
    if (local)
        localtime_r(&now, &date);
    else
        gmtime_r(&now, &date);
    int first = date.tm_mday, months = 0, days = 1;
    if (period == CFG_PERIOD_WEEK) {
        first -= (date.tm_wday + 6) % 7;
        days = 7;
    } else if (period == CFG_PERIOD_MONTH) {
        first = 1;
        months = 1;
        days = 0;
    }
    *start_ms = midnight_ms(date.tm_year, date.tm_mon, first, local);
    *end_ms = midnight_ms(date.tm_year, date.tm_mon + months, first + days, local);
    /* The label comes from the calendar alone, so that it outlives a change of the zone. */
    struct tm label = { .tm_year = date.tm_year, .tm_mon = date.tm_mon, .tm_mday = first };
    timegm(&label);
    strftime(key->label, sizeof(key->label), "%Y-%m-%d", &label);
}

void tel_period(enum cfg_period period, const char *time_zone, int64_t now_ms, int64_t *start_ms,
                int64_t *end_ms)
{
    struct tel_key key;
    tel_period_key(period, time_zone, now_ms, &key, start_ms, end_ms);
}
