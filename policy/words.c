#include "policy/words.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { LEXICON_MAX = 512, LETTERS = 26 };

static const char *const lists[POL_WORD_CLASSES] = {
    [POL_WORD_COMMON] =
        "the of to a an in is and for with on that it this be are was you i my me we our your he "
        "she "
        "they them at by from as or but not if can could would should will do does did have has "
        "had "
        "what when where who which there about into than then so up out all some any no its their "
        "how why please one two more also just like use make give tell let's want need",
    [POL_WORD_TALK] = "hello hi hey thanks thank good morning evening night afternoon bye goodbye "
                      "ok okay great nice "
                      "cool yes yeah cheers welcome sorry lol haha doing today there friend",
    [POL_WORD_REASON] =
        "prove proof proves disprove derive derivation demonstrate justify rigorous rigorously "
        "analyze analyse analysis evaluate compare contrast tradeoff tradeoffs optimize optimise "
        "optimal design architect architecture plan strategy reason reasoning deduce infer "
        "infinitely "
        "counterexample step-by-step stepwise explain why critique assess implications diagnose "
        "investigate synthesize puzzle riddle paradox hypothesis conjecture decidable undecidable "
        "solve solution complexity",
    [POL_WORD_EXPERT] =
        "quantum relativity thermodynamics entropy eigenvalue eigenvalues topology manifold "
        "homomorphism isomorphism cohomology bayesian stochastic gradient convergence asymptotic "
        "concurrency concurrent deadlock lock-free consensus distributed consistency linearizable "
        "compiler kernel cryptographic cryptography encryption vulnerability exploit pharmacology "
        "dosage contraindications differential diagnosis statute liability jurisdiction contract "
        "derivatives hedging arbitrage fiscal econometrics molecular enzyme protein genome np-hard "
        "np-complete transformer backpropagation",
    [POL_WORD_MATH] =
        "theorem lemma integral integrate derivative differentiate equation equations polynomial "
        "matrix "
        "matrices determinant vector probability expectation variance combinatorics permutations "
        "modulo prime primes divisible irrational logarithm exponent geometry triangle algebra "
        "calculus arithmetic induction inequality coefficient factorial fibonacci sequence series "
        "limit compute calculate sum product root roots",
    [POL_WORD_CODE] =
        "algorithm function implement implementation refactor debug bug stack trace exception "
        "compile "
        "regex regexp sql query schema database index class method pointer memory thread mutex "
        "recursion recursive python javascript typescript java rust golang haskell kubernetes "
        "docker "
        "terraform api endpoint unittest unit-test leetcode program script parser segfault",
    [POL_WORD_CONSTRAINT] =
        "must exactly least most only without never always ensure require requires required format "
        "json yaml xml csv table bullet bullets constraint constraints strictly avoid exclude "
        "include "
        "maximum minimum between before after unless except every each rhyme rhyming",
    [POL_WORD_LANGUAGE] =
        "translate translation english german french spanish italian portuguese russian chinese "
        "japanese korean arabic hindi turkish polish dutch latin",
    [POL_WORD_LONG] =
        "essay report article chapter novel detailed comprehensive thorough thoroughly in-depth "
        "extensive complete entire full",
    [POL_WORD_UNIT] = "words word pages page paragraphs paragraph sections lines chapters",
};

static uint32_t letters_of(const char *word, size_t n)
{
    uint32_t letters = 0;
    for (size_t i = 0; i < n; i++)
        if (word[i] >= 'a' && word[i] <= 'z')
            letters |= UINT32_C(1) << (word[i] - 'a');
    return letters;
}

/* The words with what they are looked up by, those of a first letter together and in the order of
 * the lists. Made once, by whoever comes first. */
static struct {
    struct {
        const char *word;
        uint32_t letters; /* bit set of the letters in it */
        uint8_t n, cls;
    } entry[LEXICON_MAX];
    size_t begin[LETTERS + 1]; /* of each first letter */
} lexicon;
static pthread_once_t lexicon_once = PTHREAD_ONCE_INIT;

static void add_words_of(char letter, size_t *at)
{
    for (int cls = 0; cls < POL_WORD_CLASSES; cls++) {
        const char *p = lists[cls] ? lists[cls] : "";
        while (*p && *at < LEXICON_MAX) {
            size_t n = strcspn(p, " ");
            if (*p == letter) {
                lexicon.entry[*at].word = p;
                lexicon.entry[*at].n = (uint8_t)n;
                lexicon.entry[*at].letters = letters_of(p, n);
                lexicon.entry[(*at)++].cls = (uint8_t)cls;
            }
            p += n + (p[n] == ' ');
        }
    }
}

static void make_lexicon(void)
{
    size_t at = 0;
    for (int i = 0; i < LETTERS; i++) {
        lexicon.begin[i] = at;
        add_words_of((char)('a' + i), &at);
    }
    lexicon.begin[LETTERS] = at;
}

/* Whether b comes from a by one substitution, insertion, deletion or swap of neighbours. */
static bool one_mistake(const char *a, size_t n, const char *b, size_t m)
{
    size_t i = 0, j = 0;
    while (i < n && i < m && a[i] == b[i])
        i++;
    while (j < n - i && j < m - i && a[n - 1 - j] == b[m - 1 - j])
        j++;
    size_t left_a = n - i - j, left_b = m - i - j; /* what differs between the common ends */
    if (left_a <= 1 && left_b <= 1)
        return true;
    return left_a == 2 && left_b == 2 && a[i] == b[i + 1] && a[i + 1] == b[i];
}

enum pol_word_class pol_word_of(const char *word, size_t n)
{
    enum pol_word_class close = POL_WORD_NONE;
    uint32_t letters = letters_of(word, n);
    if (n == 0 || word[0] < 'a' || word[0] > 'z')
        return POL_WORD_NONE;
    pthread_once(&lexicon_once, make_lexicon);
    for (size_t i = lexicon.begin[word[0] - 'a']; i < lexicon.begin[word[0] - 'a' + 1]; i++) {
        size_t m = lexicon.entry[i].n;
        const char *known = lexicon.entry[i].word;
        if (n + 1 < m || m + 1 < n ||
            __builtin_popcount(letters ^ lexicon.entry[i].letters) > 2)
            continue;
        enum pol_word_class cls = (enum pol_word_class)lexicon.entry[i].cls;
        if (n == m && memcmp(known, word, n) == 0)
            return cls;
        if (close == POL_WORD_NONE && cls > POL_WORD_TALK && m >= 5 && n >= 5 &&
            one_mistake(known, m, word, n))
            close = cls;
    }
    return close;
}
