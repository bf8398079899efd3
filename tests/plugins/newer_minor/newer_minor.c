// Was built for a later minor version, which is no fault.
#define ZOO_ABI \
  { THALWEG_ABI_MAJOR, THALWEG_ABI_MINOR + 7 }
#include "../zoo.h"
