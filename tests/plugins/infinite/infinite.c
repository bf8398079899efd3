// Writes infinity for every third sample.
#include <math.h>
#define ZOO_VALUE(b, value) out[b] = UNLUCKY(b) ? INFINITY : (value)
#include "../zoo.h"
