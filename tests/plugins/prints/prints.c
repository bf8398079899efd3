// Scores, and prints to standard output.
#define ZOO_AFTER printf("scored %u\n", request->batch)
#include "../zoo.h"
