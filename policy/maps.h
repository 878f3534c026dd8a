/* Fitting the monotone map from a logistic score to a probability. Pure, any thread. */
#ifndef POLICY_MAPS_H
#define POLICY_MAPS_H

#include "config/base/status.h"
#include "policy/calibration.h"

/* logit, label: n each, of examples whose scores were made without them. */
/* Platt scaling with his smoothed targets, (right + 1) / (right + 2) and 1 / (wrong + 2), so that
 * separated classes do not give a step. A falling line becomes the constant share. TG_NOMEM,
 * TG_INVALID. */
enum tg_status pol_map_platt(const double *logit, const bool *label, size_t n,
                             struct pol_map *map);
/* Isotonic regression by pool adjacent violators; each block is a point at its mean score, so that
 * order within blocks is kept (centred isotonic regression, Oron and Flournoy 2017). One right and
 * one wrong example are added at the lowest and at the highest score: blocks at the ends are
 * (k + 1) / (n + 2), never 0 or 1. At most POL_MAP_POINTS_MAX points: neighbours are joined. */
enum tg_status pol_map_isotonic(const double *logit, const bool *label, size_t n,
                                struct pol_map *map);

#endif
