// Three hundred ways to write an address that must not be contacted, and a listener that counts.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

#include "engine/core/error.h"
#include "plugins/remote/http.h"

namespace remote {
namespace {

/// Listens on a free port of all addresses of this machine, IPv4 and IPv6 where there is one.
class Listener {
 public:
  Listener() {
    for (const int family : {AF_INET, AF_INET6}) {
      const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (socket < 0) continue;
      const int yes = 1;
      sockaddr_storage at{};
      socklen_t size = sizeof(sockaddr_in);
      at.ss_family = static_cast<sa_family_t>(family);
      reinterpret_cast<sockaddr_in&>(at).sin_port = htons(port_);  // the same place in both
      if (family == AF_INET6) {
        ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
        size = sizeof(sockaddr_in6);
      }
      if (::bind(socket, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(socket, 64) != 0) {
        ::close(socket);
        continue;
      }
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&at), &size);
      port_ = ntohs(reinterpret_cast<sockaddr_in&>(at).sin_port);
      sockets_.push_back(socket);
    }
  }
  ~Listener() {
    for (const int socket : sockets_) ::close(socket);
  }
  std::string port() const { return std::to_string(port_); }
  bool contacted() const {
    for (const int socket : sockets_) {
      pollfd waiting{socket, POLLIN, 0};
      if (::poll(&waiting, 1, 0) != 0) return true;
    }
    return false;
  }

 private:
  uint16_t port_ = 0;
  std::vector<int> sockets_;
};

std::set<std::string> strings(const std::string& port) {
  const std::vector<std::string> hosts = {"127.0.0.1",
                                          "127.1",
                                          "127.0.1",
                                          "127.127.127.127",
                                          "0.0.0.0",
                                          "0",
                                          "2130706433",
                                          "0x7f000001",
                                          "0x7f.1",
                                          "0177.0.0.1",
                                          "017700000001",
                                          "0x7f.0x0.0x0.0x1",
                                          "127.0.0.1.",
                                          "127.0.0.01",
                                          "127.000.000.001",
                                          "[::1]",
                                          "[::]",
                                          "[::ffff:127.0.0.1]",
                                          "[::ffff:7f00:1]",
                                          "[::127.0.0.1]",
                                          "[0:0:0:0:0:0:0:1]",
                                          "[::1%25lo]",
                                          "[::1%lo]",
                                          "[64:ff9b::127.0.0.1]",
                                          "[2002:7f00:1::]",
                                          "[::ffff:0:127.0.0.1]",
                                          "localhost",
                                          "LOCALHOST",
                                          "localhost.",
                                          "ip6-localhost",
                                          "ip6-loopback",
                                          "localhost.localdomain",
                                          "127.0.0.1%00",
                                          "127.0.0.1%2f",
                                          "a@127.0.0.1",
                                          "a:b@127.0.0.1",
                                          "127.0.0.1@a",
                                          "judge.example@127.0.0.1",
                                          "judge.example:80@127.0.0.1",
                                          "127.0.0.1#@judge.example",
                                          "127.0.0.1?@judge.example",
                                          "127.0.0.1\\@judge.example",
                                          "judge.example\\@127.0.0.1",
                                          "\xE2\x91\xA0\xE2\x91\xA1\xE2\x91\xA6.0.0.1",
                                          "127\xE3\x80\x82"
                                          "0.0.1",
                                          "\xEF\xBC\x91"
                                          "27.0.0.1",
                                          "loc\xC7\xB0lhost",
                                          "127.0.0.1 ",
                                          " 127.0.0.1",
                                          "127.0.0.1\t",
                                          "127.0.0.1\n",
                                          "127.0.0.1\r\nHost: a",
                                          "169.254.169.254",
                                          "[fe80::1]",
                                          "10.0.0.1",
                                          "192.168.0.1",
                                          "172.16.0.1",
                                          "100.64.0.1",
                                          "[fd00::1]",
                                          "[ff02::1]",
                                          "224.0.0.1",
                                          "255.255.255.255"};
  std::set<std::string> all;
  for (const auto& host : hosts) {
    for (const std::string scheme : {"http://", "https://"}) {
      all.insert(scheme + host + ":" + port + "/");
      all.insert(scheme + host + ":" + port + "/v1?x=1");
    }
    for (const std::string scheme :
         {"HTTP://", "//", "", "gopher://", "file://", "http:/\\", "http:\\\\", "http:///", "ftp://"})
      all.insert(scheme + host + ":" + port + "/");
  }
  return all;
}

/// What the plugin does with a URL whose host nobody has allowed.
void contact(const std::string& text) {
  Url url;
  try {
    url = parse_url(text);
    const AddressRules rules(url, {});
    CurlTransport transport(url, rules, {}, {});
    const auto reply =
        transport.send({.method = "GET", .path = "/v1/reward", .headers = {}, .json = {}, .parts = {}}, 5);
    EXPECT_NE(reply.failure, "") << text;
    EXPECT_FALSE(reply.sent) << text;
  } catch (const thalweg::Error&) {
  }
}

TEST(ForgedRequests, NoneOfThreeHundredStringsConnects) {
  const Listener listener;
  const auto all = strings(listener.port());
  ASSERT_GE(all.size(), 300u);
  for (const auto& text : all) {
    contact(text);
    ASSERT_FALSE(listener.contacted()) << text;
  }
}

TEST(ForgedRequests, ANameThatMeansThisMachineIsCaughtAtTheConnection) {
  const Listener listener;
  const auto url = parse_url("https://localhost:" + listener.port());
  CurlTransport transport(url, AddressRules(url, {}), {}, {});
  const auto reply =
      transport.send({.method = "GET", .path = "/", .headers = {}, .json = {}, .parts = {}}, 5);
  EXPECT_NE(reply.failure.find("loopback"), std::string::npos) << reply.failure;
  EXPECT_FALSE(reply.transient);
  EXPECT_FALSE(listener.contacted());
}

TEST(ForgedRequests, TheSameListenerIsReachedWhereItIsAllowed) {
  const Listener listener;
  const auto url = parse_url("http://127.0.0.1:" + listener.port());
  CurlTransport transport(url, AddressRules(url, {"127.0.0.1"}), {}, {});
  const auto reply =
      transport.send({.method = "GET", .path = "/", .headers = {}, .json = {}, .parts = {}}, 0.2);
  EXPECT_TRUE(reply.sent);
  EXPECT_FALSE(reply.transient);  // a server that hangs is not asked again
  EXPECT_NE(reply.failure.find("no whole answer"), std::string::npos) << reply.failure;
  EXPECT_TRUE(listener.contacted());
}

TEST(ForgedRequests, AProxyOfTheEnvironmentIsNotAsked) {
  const Listener listener;
  const auto proxy = "http://127.0.0.1:" + listener.port();
  for (const auto* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"})
    ::setenv(name, proxy.c_str(), 1);
  const auto url = parse_url("http://127.0.0.1:1");
  CurlTransport transport(url, AddressRules(url, {"127.0.0.1"}), {}, {});
  const auto reply =
      transport.send({.method = "GET", .path = "/", .headers = {}, .json = {}, .parts = {}}, 2);
  for (const auto* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  EXPECT_NE(reply.failure, "");
  EXPECT_TRUE(reply.transient);
  EXPECT_FALSE(listener.contacted());
}

}  // namespace
}  // namespace remote
