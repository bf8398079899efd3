// A name that takes longer to be looked up than there is time. This program's getaddrinfo is the one that
// libcurl calls.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "plugins/remote/http.h"

namespace {

constexpr const char* kSlow = "slow.example";

/// What the lookup of that name does.
struct Lookup {
  std::mutex mutex;
  std::condition_variable changed;
  bool begun = false, may_end = false, ended = false;
};
Lookup& lookup() {
  static Lookup one;
  return one;
}

}  // namespace

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  if (node == nullptr || std::strcmp(node, kSlow) != 0) {
    static const auto next = reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    return next(node, service, hints, found);
  }
  auto& slow = lookup();
  std::unique_lock lock(slow.mutex);
  slow.begun = true;
  slow.changed.wait_for(lock, std::chrono::seconds(20), [&] { return slow.may_end; });
  slow.ended = true;
  slow.changed.notify_all();
  return EAI_AGAIN;
}

namespace remote {
namespace {

TEST(Resolver, ANameIsNotLookedUpLongerThanThereIsTime) {
  const auto url = parse_url(std::string("https://") + kSlow);
  CurlTransport transport(url, AddressRules(url, {}), {}, {});
  const auto reply =
      transport.send({.method = "GET", .path = "/", .headers = {}, .json = {}, .parts = {}}, 1.0);
  EXPECT_EQ(reply.failure, "no connection in time");
  EXPECT_TRUE(reply.transient);
  EXPECT_FALSE(reply.sent);
  auto& slow = lookup();
  std::unique_lock lock(slow.mutex);
  ASSERT_TRUE(slow.begun);
  EXPECT_FALSE(slow.ended);  // nobody has waited for it
  slow.may_end = true;
  slow.changed.notify_all();
  slow.changed.wait(lock, [&] { return slow.ended; });
}

}  // namespace
}  // namespace remote
