// Starts a thread in activate and never ends it.
#include <pthread.h>
#include <unistd.h>
static void* doze(void* nothing) {
  for (;;) pause();
  return nothing;
}
#define ZOO_ACTIVATE                         \
  pthread_t thread;                          \
  pthread_create(&thread, NULL, doze, NULL); \
  pthread_detach(thread)
#include "../zoo.h"
