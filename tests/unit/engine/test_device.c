/* Devices by name: what is opened where there is no driver, and that a software one is never
 * chosen. */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "config/base/log.h"
#include "local_engine/device.h"

static void names(void)
{
    enum le_device device;
    CHECK(le_device_parse(TG_STR("auto"), &device) && device == LE_DEVICE_AUTO);
    CHECK(le_device_parse(TG_STR("cpu"), &device) && device == LE_DEVICE_CPU);
    CHECK(le_device_parse(TG_STR("vulkan"), &device) && device == LE_DEVICE_VULKAN);
    CHECK(!le_device_parse(TG_STR("CPU"), &device) && !le_device_parse(TG_STR(""), &device));
}

static void precisions(void)
{
    enum le_precision_choice p;
    CHECK(le_precision_parse(TG_STR("auto"), &p) && p == LE_PRECISION_AUTO);
    CHECK(le_precision_parse(TG_STR("exact"), &p) && p == LE_PRECISION_EXACT);
    CHECK(le_precision_parse(TG_STR("fast"), &p) && p == LE_PRECISION_FAST);
    CHECK(!le_precision_parse(TG_STR("Fast"), &p) && !le_precision_parse(TG_STR(""), &p));
}

/* The name of what opens, and in line what it says of itself. */
static enum tg_status open_and_close(enum le_device kind, char name[16], char line[256],
                                     struct tg_error *err)
{
    const struct le_ops *ops;
    struct le_backend *be;
    const struct le_device_options options = { .device = kind, .precision = LE_PRECISION_EXACT };
    enum tg_status status = le_device_open(&options, &ops, &be, err);
    name[0] = line[0] = '\0';
    if (status)
        return status;
    snprintf(name, 16, "%s", ops->name);
    snprintf(line, 256, "%s", ops->describe(be));
    ops->close(be);
    return TG_OK;
}

static void without_a_driver(void)
{
    char name[16], line[256];
    struct tg_error err = { .text = "" };
    CHECK(setenv("VK_DRIVER_FILES", "/dev/null", 1) == 0);
    CHECK(setenv("VK_ICD_FILENAMES", "/dev/null", 1) == 0);
    enum tg_status vulkan = open_and_close(LE_DEVICE_VULKAN, name, line, &err);
    struct tg_error none = { .text = "" };
    enum tg_status automatic = open_and_close(LE_DEVICE_AUTO, name, line, &none);
    unsetenv("VK_DRIVER_FILES");
    unsetenv("VK_ICD_FILENAMES");
    CHECK_INT(vulkan, TG_NOTFOUND);
    CHECK(strstr(err.text, "device cpu") != NULL);
    CHECK_INT(automatic, TG_OK);
    CHECK_STR(name, "cpu");
    CHECK_STR(none.text, "");
}

static void a_software_driver_is_not_chosen(void)
{
    char name[16], line[256];
    struct tg_error err = { .text = "" };
    CHECK_INT(open_and_close(LE_DEVICE_AUTO, name, line, &err), TG_OK);
    CHECK(!strstr(line, "llvmpipe") && !strstr(line, "SwiftShader"));
    CHECK(strstr(line, "exact (F32)") != NULL); /* which paths are in use */
    if (open_and_close(LE_DEVICE_VULKAN, name, line, &err) == TG_NOTFOUND)
        CHECK_SKIP(err.text);
    CHECK_STR(name, "vulkan");
    CHECK(strstr(line, "subgroup") && strstr(line, "exact (F32)"));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(names), CASE(precisions), CASE(without_a_driver),
        CASE(a_software_driver_is_not_chosen),
    };
    tg_log_set_level(TG_LOG_WARN);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
