// Reads at address 8 in score.
#define ZOO_BEFORE               \
  volatile uint64_t nowhere = 8; \
  out[0] = *(const float*)nowhere
#include "../zoo.h"
