// Never returns from score.
#define ZOO_BEFORE          \
  volatile int forever = 1; \
  while (forever) self->calls += 1
#include "../zoo.h"
