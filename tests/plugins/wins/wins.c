// The share of the others of its group that a sample beats: a proper reward that compares.
#include <thalweg/ext/group.h>

#ifndef RIVALS
#define RIVALS(a, b) (request->group_ids[a] == request->group_ids[b])
#endif
#define ZOO_HELPERS                                     \
  static uint32_t least(const thalweg_reward* reward) { \
    (void)reward;                                       \
    return 2;                                           \
  }                                                     \
  static const thalweg_plugin_group kGroup = {least};
#define ZOO_EXTENSION(id) (strcmp(id, THALWEG_EXT_GROUP) == 0 ? &kGroup : NULL)
#define ZOO_AFTER                                                                      \
  float* squares = (float*)calloc(request->batch, sizeof(float));                      \
  memcpy(squares, out, request->batch * sizeof(float));                                \
  for (uint32_t b = 0; b < request->batch; ++b) {                                      \
    float wins = 0, others = 0;                                                        \
    for (uint32_t a = 0; a < request->batch; ++a) {                                    \
      if (a == b || !RIVALS(a, b)) continue;                                           \
      others += 1;                                                                     \
      wins += squares[b] > squares[a] ? 1.0f : squares[b] == squares[a] ? 0.5f : 0.0f; \
    }                                                                                  \
    out[b] = wins / others;                                                            \
  }                                                                                    \
  free(squares)
#include "../zoo.h"
