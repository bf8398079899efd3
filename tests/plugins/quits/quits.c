// Calls _exit(0) in score, which no handler of the program sees.
#include <unistd.h>
#define ZOO_BEFORE _exit(0)
#include "../zoo.h"
