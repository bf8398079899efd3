// Was built for another major version of the ABI.
#define ZOO_ABI \
  { THALWEG_ABI_MAJOR + 1, 0 }
#include "../zoo.h"
