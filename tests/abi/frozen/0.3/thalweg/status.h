// What every call that can fail returns. The text of a failure travels beside it: see host.h, set_error.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t thalweg_status;

enum {
  THALWEG_OK = 0,
  // The caller's mistake: a bad key in the configuration, a shape that cannot be scored.
  THALWEG_INVALID_ARGUMENT = -1,
  // A request that is valid but that this plugin does not implement.
  THALWEG_UNSUPPORTED = -2,
  THALWEG_OUT_OF_MEMORY = -3,
  // The accelerator or its driver failed.
  THALWEG_DEVICE = -4,
  // A resource is away for now (a remote judge, a busy file): the same call may work later.
  THALWEG_UNAVAILABLE = -5,
  // Anything else that went wrong inside the plugin.
  THALWEG_INTERNAL = -6
};

#ifdef __cplusplus
}
#endif
