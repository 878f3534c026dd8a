/* Where the databases are, for commands beside a gateway that runs: they must work where the
 * environment lacks the keys that serve needs, or the model is away. */
#ifndef GATEWAY_FIND_DIR_H
#define GATEWAY_FIND_DIR_H

#include "config/survey.h"

/* config NULL: config/default.json where it is there, else the defaults alone; (*out)->path tells
 * which. On TG_OK (*out)->data_dir is set. Errors name the remedy (--data-dir); *out is owned by
 * the caller in every case (cfg_survey_free), NULL or not. Any thread; reads the disk. */
enum tg_status gw_find_dir(const char *config, struct cfg_survey **out, struct tg_error *err);

#endif
