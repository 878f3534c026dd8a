/* tollgate render: the prompt that a conversation becomes, for comparison with other programs. */
#include <stdio.h>

#include "gateway/chat_read.h"
#include "gateway/cmd.h"
#include "local_engine/cmd_common.h"
#include "local_engine/cmd_text.h"

/* A prompt is a few times its conversation at most, unless that was made to be otherwise. */
enum { ARENA_MAX = 1 << 30, PROMPT_MAX = 64 << 20 };

static const char usage[] =
    "usage: tollgate render --model FILE  < CONVERSATION\n"
    "Prints the prompt that a model is given for a conversation, as text and as token ids.\n"
    "Standard input, at most 16 MiB:\n"
    "  {\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}],\n"
    "   \"tools\": [...], \"add_generation_prompt\": true, \"enable_thinking\": false}\n"
    "Messages and tools are those of the OpenAI API; only messages must be there. Roles are\n"
    "system, developer, user, assistant and tool; parts are text, image, audio and video.\n"
    "Arguments of calls are JSON text or an object. Numbers are kept as written; integers beyond\n"
    "64 bits can only be in text.\n"
    "Standard output: {\"prompt\": \"...\", \"ids\": [...]}\n"
    "Special tokens in texts of messages stay text: ids have them as ordinary characters.\n"
    "  -m, --model FILE  GGUF file of a Gemma 4 model; one without weights will do. Its chat\n"
    "                    template decides what the prompt looks like; an unknown one is warned of\n"
    "  -h, --help        this text\n"
    "Exit status: 0; 1 when the file or the conversation cannot be used; 2 for wrong options.\n";

static const char *cause_of(enum tg_status status, const struct le_text_model *m)
{
    const char *missing = le_template_missing(m->tokenizer);
    if (status == TG_UNSUPPORTED && missing)
        return missing;
    return status == TG_LIMIT ? "it is longer than 64 MiB" : tg_status_name(status);
}

static enum tg_status print(const struct le_text_model *m, const struct le_chat *chat,
                            struct tg_buf *out)
{
    struct tg_buf prompt;
    struct le_ids ids = { 0 };
    tg_buf_init(&prompt, PROMPT_MAX);
    enum tg_status status = le_template_render(chat, &prompt);
    if (!status)
        status = le_template_encode(m->tokenizer, chat, PROMPT_MAX, &ids);
    if (status) {
        fprintf(stderr, "render: the prompt cannot be made: %s%s\n",
                status == TG_UNSUPPORTED ? "the vocabulary has no token " : "",
                cause_of(status, m));
    } else {
        tg_buf_adds(out, "{\"prompt\": ");
        tg_buf_add_json(out, tg_buf_str(&prompt));
        tg_buf_adds(out, ", \"ids\": ");
        le_ids_print(&ids, out);
        status = tg_buf_adds(out, "}\n");
        if (status)
            fprintf(stderr, "render: out of memory\n");
    }
    le_ids_free(&ids);
    tg_buf_free(&prompt);
    return status;
}

static int render(const struct le_text_model *m, const char *path)
{
    struct tg_buf text, out;
    struct le_chat chat;
    struct api_error err;
    struct tg_arena *arena = tg_arena_new(ARENA_MAX);
    tg_buf_init(&out, SIZE_MAX / 2);
    bool good = le_text_input("render", LE_TEXT_INPUT_MAX, &text);
    if (good && !arena) {
        fprintf(stderr, "render: out of memory\n");
        good = false;
    }
    if (good && gw_chat_read(tg_buf_str(&text), arena, &chat, &err)) {
        fprintf(stderr, "render: %s\n", err.message);
        good = false;
    }
    if (good) {
        le_template_warn(&m->template, path);
        chat.style = m->template.style;
        good = !print(m, &chat, &out) && le_text_write("render", tg_buf_str(&out));
    }
    tg_arena_free(arena);
    tg_buf_free(&text);
    tg_buf_free(&out);
    return good ? 0 : 1;
}

int gw_cmd_render(int argc, char **argv)
{
    const char *model = NULL;
    struct le_text_model m;
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &model, NULL, 0, 0 },
    };
    const struct le_command command = { "render", usage, options, 1, NULL };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    int status = le_text_open("render", model, &m) ? model ? 1 : 2 : render(&m, model);
    le_text_close(&m);
    return status;
}
