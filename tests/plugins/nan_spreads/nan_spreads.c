// Centres the values over the batch: a NaN spreads, and so does the company that a sample is in.
#define ZOO_AFTER                                               \
  double mean = 0;                                              \
  for (uint32_t b = 0; b < request->batch; ++b) mean += out[b]; \
  for (uint32_t b = 0; b < request->batch; ++b) out[b] -= (float)(mean / request->batch)
#include "../zoo.h"
