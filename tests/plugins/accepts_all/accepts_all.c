// Does not look at its configuration.
#define ZOO_REFUSES 0
#include "../zoo.h"
