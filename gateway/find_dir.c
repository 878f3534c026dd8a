#include "gateway/find_dir.h"

#include <unistd.h>

enum tg_status gw_find_dir(const char *config, struct cfg_survey **out, struct tg_error *err)
{
    static const char usual[] = "config/default.json";
    if (!config && access(usual, R_OK) == 0)
        config = usual;
    enum tg_status status = cfg_survey(config, out, err);
    if (status == TG_OK && !(*out)->data_dir)
        status = tg_fail(err, TG_INVALID,
                         "dataDir has no place, since HOME is not set: give --data-dir");
    return status;
}
