// Draws on the C library's random numbers.
#define ZOO_BEFORE self->calls += (uint64_t)rand() % 2
#include "../zoo.h"
