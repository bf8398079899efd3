// Opens a file in each call of score and never closes it.
#include <fcntl.h>
#define ZOO_BEFORE \
  if (open("/dev/null", O_RDONLY) < 0) return THALWEG_INTERNAL
#include "../zoo.h"
