// A reward: how it is made, and how it scores pictures and videos.
//
// Life of an instance: create, init, activate, score*, deactivate, (activate, ...), destroy.
// An image is a video of one frame. B samples, F frames, C channels, K dimensions (columns) of the reward.
//
// Manners: nothing goes to standard output, nothing ends the process, no exception leaves the library, no
// global random state is touched, and a changed CUDA device is put back. So are, before a call returns, the
// working folder, umask, locale (LC_CTYPE apart), environment, signal handlers and masks, the rounding,
// denormal and trap mode, and descriptors 0 to 2. The same request and seeds give the same values, in any
// batch and order, unless the descriptor lists the feature "nondeterministic".
#pragma once

#include "descriptor.h"
#include "entry.h"
#include "host.h"
#include "request.h"

#ifdef __cplusplus
extern "C" {
#endif

#define THALWEG_REWARD_FACTORY_ID "thalweg.reward-factory/1"

// One instance. The table is the plugin's, valid from `create` until `destroy` returns.
typedef struct thalweg_reward {
  const thalweg_reward_descriptor* desc;
  void* plugin_data;  // the plugin's own; the host never touches it

  // First call after create; the host's tables may be used from here on. After a failure only destroy
  // follows. [main]
  thalweg_status (*init)(const struct thalweg_reward* reward);

  // Last call; ends the life of `reward`. The instance is not active. [main]
  void (*destroy)(const struct thalweg_reward* reward);

  // Reads the configuration and loads weights; may be slow. After a failure the instance is not active
  // and may be activated again. [main]
  thalweg_status (*activate)(const struct thalweg_reward* reward, const thalweg_activation* activation);

  // Gives back what activate took. [main]
  void (*deactivate)(const struct thalweg_reward* reward);

  // K >= 1, and the name of column k < K (UTF-8, not empty, all different). Only while active; fixed,
  // and the strings valid, until deactivate. [main, scoring]
  uint32_t (*dimension_count)(const struct thalweg_reward* reward);
  const char* (*dimension_name)(const struct thalweg_reward* reward, uint32_t k);

  // Writes values [B,K] float32, on the device of the inputs, dense, filled with NaN by the host. What
  // stays NaN or becomes infinite counts as "not scored", never as 0; a sample that cannot be scored is
  // left alone, and the call still returns THALWEG_OK. Another status voids the whole call.
  // Only while active. [scoring]
  thalweg_status (*score)(const struct thalweg_reward* reward, const thalweg_score_request* request,
                          const thalweg_tensor* values_BK);

  // A table of an optional ability (see ext/), or NULL. Valid until destroy. [any]
  const void* (*get_extension)(const struct thalweg_reward* reward, const char* extension_id);
} thalweg_reward;

// The factory that the entry returns for THALWEG_REWARD_FACTORY_ID. Listing loads nothing.
typedef struct thalweg_reward_factory {
  // Number of rewards in the library, at least 1. [any]
  uint32_t (*count)(const struct thalweg_reward_factory* factory);

  // What reward `index` < count says of itself; never NULL. [any]
  const thalweg_reward_descriptor* (*descriptor)(const struct thalweg_reward_factory* factory,
                                                 uint32_t index);

  // A new instance of the reward with this id, or NULL. `host` outlives the instance but must not be
  // called before `init`, set_error apart. [main]
  const thalweg_reward* (*create)(const struct thalweg_reward_factory* factory, const thalweg_host* host,
                                  const char* reward_id);
} thalweg_reward_factory;

#ifdef __cplusplus
}
#endif
