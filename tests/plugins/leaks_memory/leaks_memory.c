// Takes 256 KiB in activate and never gives them back.
static void* volatile kept;
#define ZOO_ACTIVATE        \
  kept = malloc(256 << 10); \
  memset(kept, 1, 256 << 10)
#include "../zoo.h"
