/* A configuration in memory, and a folder of its own with a file that stands for a model. */
#ifndef TESTS_UNIT_CONFIG_SUPPORT_H
#define TESTS_UNIT_CONFIG_SUPPORT_H

#include "config/settings.h"

/* A new folder below TMPDIR with the files "model.gguf", "key" (a secret) and "empty"; static. */
const char *support_folder(void);
/* Parses text as if it stood in config.json of that folder. Single quotes stand for double ones. */
enum tg_status support_parse(const char *text, struct cfg_settings **out, struct tg_error *err);
/* The same of a text that must be right: else the case fails. */
struct cfg_settings *support_parsed(const char *text);
/* Writes a file of that folder; its path, static until the next call. */
const char *support_write(const char *name, const char *text);

#endif
