// Adds the number of samples of the call to each value.
#define ZOO_VALUE(b, value) out[b] = (value) + (float)request->batch
#include "../zoo.h"
