// Calls exit(0) in score.
#define ZOO_BEFORE exit(0)
#include "../zoo.h"
