// Calls abort() in score.
#define ZOO_BEFORE abort()
#include "../zoo.h"
