// Scores, then changes the working folder, the umask, the locale, a signal handler and the rounding mode.
#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#define ZOO_AFTER               \
  if (chdir("/") != 0) abort(); \
  umask(0777);                  \
  setlocale(LC_ALL, "C.UTF-8"); \
  signal(SIGINT, SIG_IGN);      \
  fesetround(FE_DOWNWARD)
#include "../zoo.h"
