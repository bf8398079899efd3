// Changes the working folder, an environment variable, a signal handler and the rounding mode.
#include <fenv.h>
#include <signal.h>
#include <unistd.h>
int setenv(const char* name, const char* value, int replace);
#define ZOO_ACTIVATE                  \
  setenv("OMP_NUM_THREADS", "64", 1); \
  if (chdir("/") != 0) abort();       \
  signal(SIGINT, SIG_IGN);            \
  fesetround(FE_DOWNWARD)
#include "../zoo.h"
