// Fails with a status that does not exist, and without a text.
#define ZOO_BEFORE \
  if (UNLUCKY(0)) return -77
#include "../zoo.h"
