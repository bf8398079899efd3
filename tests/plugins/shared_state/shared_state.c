// Its values depend on how many instances live.
static int living;
#define ZOO_CREATE ++living
#define ZOO_DESTROY \
  --living;         \
  free(self)
#define ZOO_VALUE(b, value) out[b] = (value) + (float)living
#include "../zoo.h"
