// Plugin side, optional: a reward that compares the samples of a group, such as a rate of pairwise wins, a
// rank or a diversity. Each call of `score` then brings whole groups: the samples of a group one after the
// other, all of them that can be scored, and any number of groups. A value may depend on the other samples of
// its group, in whatever order they come, and on no other group. Without the extension a value depends on its
// own sample alone.
//
// Groups are the pictures of one prompt in an iteration of training, or the pictures of one prompt in a row
// that are scored from files. Pictures that are alone (held-out evaluations, steering) are not scored by such
// a reward, and its gradient is not asked for.
#pragma once

#include "../reward.h"

#ifdef __cplusplus
extern "C" {
#endif

#define THALWEG_EXT_GROUP "thalweg.group/1"

typedef struct thalweg_plugin_group {
  // Fewest samples that it can compare, at least 2; groups with fewer are not handed over.
  // Only while active; fixed until deactivate. [main, scoring]
  uint32_t (*least)(const thalweg_reward* reward);
} thalweg_plugin_group;

#ifdef __cplusplus
}
#endif
