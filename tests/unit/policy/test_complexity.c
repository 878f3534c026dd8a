#include "policy/complexity.h"

#include "config/base/json.h"
#include "policy/words.h"
#include "tests/unit/check.h"

/* A request of one user message. */
static struct pol_score score_of(const char *text)
{
    struct chat_part part = { .kind = CHAT_PART_TEXT, .text = tg_str_of(text) };
    struct chat_message message = { .role = CHAT_USER, .parts = &part, .n_parts = 1 };
    struct chat_request r = { .messages = &message, .n_messages = 1 };
    return pol_complexity(&r, 0);
}

static double part_of(const struct pol_score *score, const char *name)
{
    for (size_t i = 0; i < score->n_parts; i++)
        if (strcmp(score->part[i].name, name) == 0)
            return score->part[i].value;
    CHECK_FAIL("no part %s", name);
}

static void lexicon_is_whole(void)
{
    CHECK_INT(pol_word_of("yaml", 4), POL_WORD_CONSTRAINT); /* the last one: nothing was cut off */
    CHECK_INT(pol_word_of("chapters", 8), POL_WORD_UNIT);   /* of the last list */
    CHECK_INT(pol_word_of("algorithm", 9), POL_WORD_CODE);
    CHECK_INT(pol_word_of("prove", 5), POL_WORD_REASON);
    CHECK_INT(pol_word_of("porve", 5), POL_WORD_REASON);
    CHECK_INT(pol_word_of("theorm", 6), POL_WORD_MATH);
    CHECK_INT(pol_word_of("theoreem", 8), POL_WORD_MATH);
    CHECK_INT(pol_word_of("thoerem", 7), POL_WORD_MATH);
    CHECK_INT(pol_word_of("xprove", 6), POL_WORD_NONE);
    CHECK_INT(pol_word_of("must", 4), POL_WORD_CONSTRAINT);
    CHECK_INT(pol_word_of("mist", 4), POL_WORD_NONE); /* short ones: exact only */
    CHECK_INT(pol_word_of("helo", 4), POL_WORD_NONE);
    CHECK_INT(pol_word_of("zebra", 5), POL_WORD_NONE);
    CHECK_INT(pol_word_of("\xC3\xA9t", 3), POL_WORD_NONE);
    CHECK_INT(pol_word_of("", 0), POL_WORD_NONE);
}

/* Short prompts that are hard, whatever they look like: never "simple" with confidence. */
static void terse_and_hard(void)
{
    static const char *const table[] = {
        "P = NP?",
        "Is 2^67-1 prime?",
        "Riemann hypothesis proof",
        "Solve x^5 - x + 1 = 0",
        "Halting problem for LBAs: decidable?",
        "Why does RLHF cause sycophancy?",
        "Collatz.",
        "Prove Fermat's last theorem.",
        "Optimal 9-input sorting network",
        "Busy beaver BB(6)",
        "Derive the Kerr metric",
        "What killed the Bronze Age?",
        "Black-Scholes from scratch",
        "sqrt(2)^sqrt(2) irrational?",
        "fix this",
        "continue",
        "why?",
        "Yes, now for n=3",
        "thanks, now prove it",
        "hello, is ZFC consistent?",
        "Voynich manuscript, translated",
        "Warum ist das so?",
        "\xE8\xAF\x81\xE6\x98\x8E\xE7\xB4\xA0\xE6\x95\xB0\xE6\x97\xA0\xE7\xA9\xB7",
        "?",
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pol_score s = score_of(table[i]);
        if (s.known && s.value < 0.5)
            CHECK_FAIL("\"%s\": %.3f", table[i], s.value);
    }
}

static void small_talk_is_simple(void)
{
    static const char *const table[] = { "Hello!", "hi, how are you?", "Thanks, that was great.",
                                         "Good morning", "ok, thank you" };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pol_score s = score_of(table[i]);
        if (!s.known || s.value > 0.15)
            CHECK_FAIL("\"%s\": %d %.3f", table[i], s.known, s.value);
    }
}

static void nothing_to_judge_by(void)
{
    struct chat_request empty = { 0 };
    CHECK(!pol_complexity(&empty, 0).known);
    CHECK(!score_of("").known);
    CHECK(!score_of("\xFF\xFE\xFF garbage \x80").known);
    /* Long, but in a language that the lexicon does not know. */
    struct pol_score s =
        score_of("Erz\xC3\xA4hle mir bitte eine kurze Geschichte von einem Hund, der "
                 "\xC3\xBC"
                 "ber die Wiese l\xC3\xA4uft und am Abend m\xC3\xBC"
                 "de nach "
                 "Hause kommt, wo die Katze schon lange wartet und schl\xC3\xA4"
                 "ft.");
    CHECK(!s.known);
}

static const char easy_long[] = "I went to the park with my dog on Sunday and we had a lot of fun. "
                                "The sun was out and there were "
                                "many people. We ate some bread and cheese and then we walked home "
                                "along the river. My sister came "
                                "to see us in the evening and we all had tea. ";

static void long_but_easy(void)
{
    struct tg_buf b;
    tg_buf_init(&b, 1 << 20);
    tg_buf_adds(&b, "Please tell me what the dog ate in this little story. ");
    struct pol_score brief = score_of(easy_long);
    CHECK(brief.known && brief.value < 0.3);
    while (b.n < 40000)
        tg_buf_adds(&b, easy_long);
    struct pol_score s = score_of(b.p);
    CHECK(s.known);
    CHECK(s.value > brief.value && s.value < 0.5);
    tg_buf_free(&b);
}

static void hard_scores_high(void)
{
    static const char *const table[] = {
        "Prove that there are infinitely many primes congruent to 3 modulo 4, and explain "
        "step-by-step "
        "why the same argument fails for primes congruent to 1 modulo 4. Then derive an asymptotic "
        "estimate and justify each inequality that you use.",
        "Design a distributed consensus protocol that must tolerate two failures, compare its "
        "consistency with Raft, analyze the worst-case latency, and implement it in Rust without "
        "any "
        "mutex; every function must have exactly one unit-test.",
        "Evaluate the integral of x^2 * e^(-x^2) over the real line, prove convergence, derive the "
        "general formula by induction, and demonstrate it for the first four even exponents.",
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pol_score s = score_of(table[i]);
        if (!s.known || s.value < 0.9)
            CHECK_FAIL("case %zu: %d %.3f", i, s.known, s.value);
    }
}

/* The same question with typing mistakes, or in other words, keeps its class and nearly its score.
 */
static void typos_and_paraphrases(void)
{
    static const struct {
        const char *a, *b;
    } table[] = {
        { "Prove that the sum of two even numbers is even, and explain why the theorem needs "
          "induction.",
          "Porve that the sum of two even numbers is even, and explian why the theorm needs "
          "indution." },
        { "Prove that the square root of two is irrational, and derive the same for any prime "
          "root.",
          "Give a proof that the square root of two is irrational; derive it for any prime root "
          "too." },
        { "Compare these two algorithms and analyze which one is optimal when the memory is "
          "limited, in "
          "terms of time and of the number of pointer dereferences that each of them must do.",
          "Contrast these two algoritms and analyse which one is optimal when the memroy is "
          "limited, in "
          "terms of time and of the number of poniter dereferences that each of them must do." },
        { "What is the name of the dog that lives next to the house of the man who sold us the car "
          "last "
          "year in the summer when it was so hot?",
          "what is teh name of hte dog that lives next to the huose of the man who sold us the car "
          "last "
          "yaer in the sumer when it was so hot" },
        { "Translate this letter to French and keep it as short as you can, since my aunt does not "
          "like to "
          "read long letters and has to be careful with her eyes.",
          "translate this leter into french and keep it as short as possible, since my aunt "
          "doesn't like "
          "to read long letters and has to be carefull with her eyes" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pol_score a = score_of(table[i].a), b = score_of(table[i].b);
        if (a.known != b.known || fabs(a.value - b.value) > 0.12 ||
            (a.value > 0.5) != (b.value > 0.5))
            CHECK_FAIL("case %zu: %d %.3f, %d %.3f", i, a.known, a.value, b.known, b.value);
    }
}

static void parts_add_up_and_grow(void)
{
    static const char base[] =
        "I would like to know what we should do with the old house of our "
        "family, since all of us live in other towns and it needs some work. ";
    static const struct {
        const char *more, *part;
    } table[] = {
        { "Analyze and compare the options.", "reasoning" },
        { "There is a liability and a contract.", "expertise" },
        { "The probability is \\frac{1}{2} and x^2 = 2.", "mathematics" },
        { "```\nint main(void) { return f(); }\n```", "code" },
        { "It must have at least two rooms, without exception.", "constraints" },
        { "\xD0\xAD\xD1\x82\xD0\xBE \xD0\xBD\xD0\xB0\xD1\x88 \xD0\xB4\xD0\xBE\xD0\xBC",
          "languages" },
        { "Write 3000 words.", "output" },
    };
    struct pol_score before = score_of(base);
    CHECK(before.known);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char text[600];
        snprintf(text, sizeof(text), "%s%s", base, table[i].more);
        struct pol_score s = score_of(text);
        double sum = s.bias;
        for (size_t k = 0; k < s.n_parts; k++)
            sum += s.part[k].value * s.part[k].weight;
        CHECK_NEAR(s.value, 1 / (1 + exp(-sum)), 1e-12);
        if (part_of(&s, table[i].part) <= part_of(&before, table[i].part) ||
            s.value <= before.value)
            CHECK_FAIL("%s: %.3f, before %.3f", table[i].part, s.value, before.value);
    }
}

static void tools_media_and_turns(void)
{
    struct chat_part text = { .kind = CHAT_PART_TEXT,
                              .text = TG_STR("what do you see in this one?") };
    struct chat_media png = { .data = TG_STR("\x89PNG") };
    struct chat_part image = { .kind = CHAT_PART_IMAGE, .media = &png };
    struct chat_part parts[2] = { text, image };
    struct chat_message m[3] = { { .role = CHAT_USER, .parts = &text, .n_parts = 1 },
                                 { .role = CHAT_ASSISTANT, .parts = &text, .n_parts = 1 },
                                 { .role = CHAT_USER, .parts = parts, .n_parts = 2 } };
    struct chat_tool tools[4] = { { .name = TG_STR("look_up") } };
    struct chat_request r = { .messages = m, .n_messages = 3 };
    struct pol_score s = pol_complexity(&r, 0);
    CHECK_NEAR(part_of(&s, "media"), 0.25, 1e-9);
    CHECK_NEAR(part_of(&s, "turns"), 0.2, 1e-9);
    r.tools = tools;
    r.n_tools = 4;
    struct pol_score with_tools = pol_complexity(&r, 0);
    CHECK_NEAR(part_of(&with_tools, "tools"), 0.5, 1e-9);
    CHECK(!with_tools.known || with_tools.value >= 0.5);
    struct pol_score longer = pol_complexity(&r, 100000);
    CHECK(part_of(&longer, "length") > part_of(&with_tools, "length"));
    CHECK(part_of(&longer, "length") <= 1);
}

static void printed(void)
{
    struct pol_score s = score_of("Hello!");
    struct tg_buf b;
    struct tg_json *root;
    double value;
    tg_buf_init(&b, 10000);
    CHECK_INT(pol_score_print(&s, &b), TG_OK);
    CHECK_INT(tg_json_parse(tg_buf_str(&b), &root, NULL), TG_OK);
    CHECK(tg_json_number(tg_json_get(root, "value"), &value));
    CHECK_NEAR(value, s.value, 1e-4);
    CHECK_INT(tg_json_count(tg_json_get(root, "parts")), s.n_parts);
    tg_json_free(root);
    tg_buf_reset(&b);
    s.known = false;
    pol_score_print(&s, &b);
    CHECK(strncmp(b.p, "{\"value\":null,", 14) == 0);
    tg_buf_free(&b);
}

/* 32 MiB of text is looked at for 32 KiB only; the length still counts. */
static void bounded_work(void)
{
    struct tg_buf b;
    tg_buf_init(&b, 33u << 20);
    for (int i = 0; i < (32 << 20) / 8; i++) /* mathematics, once nobody looks any more */
        tg_buf_adds(&b, i < (32 << 10) / 8 ? "one cat " : "theorem ");
    struct chat_part part = { .kind = CHAT_PART_TEXT, .text = tg_buf_str(&b) };
    struct chat_message message = { .role = CHAT_USER, .parts = &part, .n_parts = 1 };
    struct chat_request r = { .messages = &message, .n_messages = 1 };
    struct pol_score s = pol_complexity(&r, 0);
    CHECK_NEAR(part_of(&s, "mathematics"), 0, 1e-9);
    CHECK_NEAR(part_of(&s, "length"), 1, 1e-9);
    part.text.p += 8;
    s = pol_complexity(&r, 0);
    CHECK(part_of(&s, "mathematics") > 0.3);
    tg_buf_free(&b);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(lexicon_is_whole), CASE(terse_and_hard), CASE(small_talk_is_simple),
        CASE(nothing_to_judge_by), CASE(long_but_easy), CASE(hard_scores_high),
        CASE(typos_and_paraphrases), CASE(parts_add_up_and_grow), CASE(tools_media_and_turns),
        CASE(printed), CASE(bounded_work),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
