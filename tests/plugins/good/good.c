// Nothing is wrong with it: what the others are measured against.
#include "../zoo.h"
