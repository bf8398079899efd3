// Sleeps for ten minutes in activate.
#include <unistd.h>
#define ZOO_ACTIVATE sleep(600)
#include "../zoo.h"
