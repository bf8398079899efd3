// Closes the standard descriptors in score, as a daemon does.
#include <unistd.h>
#define ZOO_BEFORE \
  close(0);        \
  close(1);        \
  close(2)
#include "../zoo.h"
