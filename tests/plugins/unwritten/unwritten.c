// Writes nothing for every third sample.
#define ZOO_VALUE(b, value) \
  if (!UNLUCKY(b)) out[b] = (value)
#include "../zoo.h"
