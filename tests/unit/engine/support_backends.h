/* The backends that golden tests run on. */
#ifndef TESTS_UNIT_ENGINE_SUPPORT_BACKENDS_H
#define TESTS_UNIT_ENGINE_SUPPORT_BACKENDS_H

#include <stdbool.h>

#include "local_engine/backend.h"

enum tg_status open_cpu(const struct le_ops **ops, struct le_backend **be, struct tg_error *err);

/* Vulkan under the validation layers; a software driver will do. */
enum tg_status open_vulkan(const struct le_ops **ops, struct le_backend **be, struct tg_error *err);
enum tg_status open_vulkan_fast(const struct le_ops **ops, struct le_backend **be,
                                struct tg_error *err);
/* Whether the last of them found no device at all. */
bool no_vulkan(void);
/* Validation messages since the last call; each is printed as it comes. */
int vulkan_messages(void);

#endif
