// Forgets the factor 2 of its gradient.
#define ZOO_SLOPE(x, n) ((x) / (n))
#include "../zoo.h"
