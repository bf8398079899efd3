// Writes NaN for every third sample.
#include <math.h>
#define ZOO_VALUE(b, value) out[b] = UNLUCKY(b) ? NAN : (value)
#include "../zoo.h"
