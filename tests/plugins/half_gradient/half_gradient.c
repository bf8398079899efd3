// Its gradient is right for every other pixel and 0 for the rest.
#define ZOO_SLOPE(x, n) (i % 2 == 0 ? 2 * (x) / (n) : 0.0f)
#include "../zoo.h"
