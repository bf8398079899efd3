// Has a descriptor with a text that is NULL.
#define ZOO_NAME NULL
#include "../zoo.h"
