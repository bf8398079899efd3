// Gives other values each time, and says so: no fault.
static const char* const kFeatures[] = {"nondeterministic", 0};
#define ZOO_FEATURES kFeatures
#define ZOO_VALUE(b, value) out[b] = (value) + 0.001f * (float)(self->calls % 7)
#include "../zoo.h"
