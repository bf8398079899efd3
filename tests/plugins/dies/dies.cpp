// Dies where the environment says: THALWEG_DIES="PLACE:NTH:HOW", say "score:2:abort", at the NTH (from 1)
// call of the PLACE "loading", "init", "create", "activate", "score", "deactivate", "destroy" or "deinit".
// Without it, it is good.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

namespace {

void read_nowhere() {
  volatile auto* nowhere = reinterpret_cast<volatile char*>(8);
  *nowhere = 1;
}

int fall(int depth) {
  volatile char space[4096];
  space[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : fall(depth + 1) + space[0];
}

void* thread_that_crashes(void*) {
  read_nowhere();
  return nullptr;
}

void die(const char* how) {
  const auto is = [how](const char* way) { return std::strcmp(how, way) == 0; };
  if (is("_exit")) _exit(0);
  if (is("exit")) exit(0);
  if (is("abort")) abort();
  if (is("segv")) read_nowhere();
  if (is("kill")) kill(getpid(), SIGKILL);
  if (is("stack")) fall(0);
  if (is("throw")) throw std::runtime_error("the film tore");
  if (is("memory")) throw std::bad_alloc();
  if (is("hang"))
    for (;;) pause();
  if (is("exec")) execl("/bin/true", "true", static_cast<char*>(nullptr));
  if (is("thread")) {
    pthread_t thread;
    pthread_create(&thread, nullptr, thread_that_crashes, nullptr);
    pthread_join(thread, nullptr);
  }
}

void die_at(const char* place) {
  static int calls = 0;
  const char* text = std::getenv("THALWEG_DIES");
  char where[32], how[32];
  int nth = 0;
  if (text == nullptr || std::sscanf(text, "%31[^:]:%d:%31s", where, &nth, how) != 3) return;
  if (std::strcmp(where, place) == 0 && ++calls == nth) die(how);
}

__attribute__((constructor)) void loading() {
  die_at("loading");
}

}  // namespace

#define ZOO_START die_at("init")
#define ZOO_CREATE die_at("create")
#define ZOO_ACTIVATE die_at("activate")
#define ZOO_BEFORE die_at("score")
#define ZOO_DEACTIVATE die_at("deactivate")
#define ZOO_DESTROY  \
  die_at("destroy"); \
  free(self)
#define ZOO_END die_at("deinit")
#include "../zoo.h"
