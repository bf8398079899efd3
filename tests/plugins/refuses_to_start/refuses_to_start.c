// Fails in entry.init.
#define ZOO_START return THALWEG_UNAVAILABLE
#include "../zoo.h"
