/* Making a calibration of confidence from examples: which features, their weights, the map behind
 * them, and how good the result is on examples that it has not seen. Deterministic. Pure, any
 * thread; fitting 10,000 examples takes seconds. */
#ifndef POLICY_FIT_H
#define POLICY_FIT_H

#include "policy/calibration.h"
#include "policy/metrics.h"

enum { /* the minima are of examples with different features: copies tell nothing new */
    POL_FIT_EXAMPLES_MIN = 50,
    POL_FIT_CLASS_MIN = 10,      /* right ones and wrong ones */
    POL_FIT_ISOTONIC_MIN = 1000, /* below: Platt scaling */
    POL_FIT_FOLDS = 5,
    POL_FIT_ELIMINATE_MAX = 3000,  /* examples that the elimination looks at, */
    POL_FIT_ELIMINATE_CLASS = 100, /* of each class at least so many, where there are */
};

struct pol_example {
    struct pol_features features; /* known */
    bool right;                   /* local is right, or the cloud would be wrong too */
};

/* One feature left out by backward elimination, in order. */
struct pol_dropped {
    enum pol_feature feature;
    double rise, error; /* of the held-out log loss against the best before; its standard error */
};

struct pol_fit_options {
    bool use[POL_FEATURES]; /* candidates */
    bool eliminate;         /* among them; else all of them are used */
};

struct pol_fit {
    struct pol_calibration calibration; /* all but key.model, .exact, .thinking and made */
    bool used[POL_FEATURES];
    struct pol_dropped dropped[POL_FEATURES];
    size_t n_dropped;
    struct pol_quality raw, held; /* of the default; held out: of the calibration */
};

/* Weights: logistic regression over standardised features, L2 of 1. Map: fitted to the scores that
 * five folds give to what they have not seen. Quality: the same again, elimination and map
 * included, inside each of five outer folds, judged on what that fold has not seen. Examples whose
 * features are all equal are in one fold.
 * Elimination: while there is a feature without which the held-out log loss rises, against that of
 * the best set before, by at most one standard error of the paired difference, the one with the
 * smallest rise is dropped.
 * held: NULL, or [n], filled with the held-out probability of each example. TG_INVALID with the
 * reason: too few examples, or of one class; TG_LIMIT: more than UINT32_MAX; TG_NOMEM. */
enum tg_status pol_fit(const struct pol_example *examples, size_t n, enum pol_span span,
                       const struct pol_fit_options *options, struct pol_fit *out, double *held,
                       struct tg_error *err);
/* As the checks of pol_fit: TG_OK when there is enough to fit, TG_INVALID, TG_LIMIT, TG_NOMEM. */
enum tg_status pol_fit_enough(const struct pol_example *examples, size_t n, struct tg_error *err);

#endif
