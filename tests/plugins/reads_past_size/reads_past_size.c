// Reads a later field of a request without asking whether it is there.
#define ZOO_VALUE(b, value) out[b] = (value) + (float)request->iteration
#include "../zoo.h"
