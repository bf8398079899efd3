// Host side, optional: why one sample of a call is not scored. Ask the host for it in `init` or later.
#pragma once

#include "../host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define THALWEG_EXT_NOTE "thalweg.note/1"

typedef struct thalweg_host_note {
  // Of sample `index` < batch of the `score` that runs: the reason for the user, in UTF-8, as for set_error;
  // copied during the call, and the last one counts. It is shown where the sample's values are not numbers,
  // and asks for no failing status. Texts that say the same of many samples are counted together. [scoring]
  void (*not_scored)(const thalweg_host* host, uint32_t index, const char* reason);
} thalweg_host_note;

#ifdef __cplusplus
}
#endif
