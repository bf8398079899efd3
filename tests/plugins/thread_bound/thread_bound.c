// Works on the thread that activated it alone.
#include <pthread.h>
static __thread int active_here;
#define ZOO_ACTIVATE active_here = 1
#define ZOO_VALUE(b, value) out[b] = active_here ? (value) : -1
#include "../zoo.h"
