// Adds the sample's place in the batch to its value.
#define ZOO_VALUE(b, value) out[b] = (value) + (float)(b)
#include "../zoo.h"
