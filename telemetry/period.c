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

/* Midnight of a date whose day or month may lie outside its range. Where a clock that goes back
 * makes it come twice, the first one: the hour between them belongs to the new day already. */
static int64_t midnight_ms(int year, int month, int day, bool local)
{
    const struct tm wanted = { .tm_year = year, .tm_mon = month, .tm_mday = day };
    struct tm date = wanted, check;
    if (!local)
        return (int64_t)timegm(&date) * 1000;
    date.tm_isdst = -1;
    time_t found = mktime(&date);
    for (int dst = 0; dst <= 1; dst++) {
        struct tm other = wanted;
        other.tm_isdst = dst;
        time_t at = mktime(&other);
        if (at < found && localtime_r(&at, &check) && check.tm_hour == 0 && check.tm_min == 0 &&
            check.tm_sec == 0 && check.tm_yday == date.tm_yday)
            found = at;
    }
    return (int64_t)found * 1000;
}

/* The period whose first day is that of date (its month, its week), or date itself. */
static void fill(enum cfg_period period, const struct tm *date, bool local, struct tel_key *key,
                 int64_t *start_ms, int64_t *end_ms)
{
    int first = date->tm_mday, months = 0, days = 1;
    if (period == CFG_PERIOD_WEEK) {
        first -= (date->tm_wday + 6) % 7;
        days = 7;
    } else if (period == CFG_PERIOD_MONTH) {
        first = 1;
        months = 1;
        days = 0;
    }
    *start_ms = midnight_ms(date->tm_year, date->tm_mon, first, local);
    *end_ms = midnight_ms(date->tm_year, date->tm_mon + months, first + days, local);
    /* The label comes from the calendar alone, so that it outlives a change of the zone. */
    struct tm label = { .tm_year = date->tm_year, .tm_mon = date->tm_mon, .tm_mday = first };
    timegm(&label);
    strftime(key->label, sizeof(key->label), "%Y-%m-%d", &label);
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
    time_t now = (time_t)(tel_clamp_ms(now_ms) / 1000);
    struct tm date;
    memset(&date, 0, sizeof(date));
    if (local)
        localtime_r(&now, &date);
    else
        gmtime_r(&now, &date);
    fill(period, &date, local, key, start_ms, end_ms);
    if ((int64_t)now * 1000 < *end_ms)
        return;
    /* A clock that went back over midnight: the day before has ended and does not begin again. */
    date.tm_mday++;
    timegm(&date); /* carries into the next week, month, year */
    fill(period, &date, local, key, start_ms, end_ms);
}

int64_t tel_clamp_ms(int64_t now_ms)
{
    const int64_t last_ms = 253402300799999; /* the end of year 9999: labels have four digits */
    return now_ms < 0 ? 0 : now_ms < last_ms ? now_ms : last_ms;
}

void tel_period(enum cfg_period period, const char *time_zone, int64_t now_ms, int64_t *start_ms,
                int64_t *end_ms)
{
    struct tel_key key;
    tel_period_key(period, time_zone, now_ms, &key, start_ms, end_ms);
}
