#include "plugins/remote/options.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "plugins/remote/protocol.h"
#include "plugins/remote/secret.h"

namespace remote {
namespace {

template <class Body>
std::string place_of(Body&& body) {
  try {
    body();
  } catch (const thalweg::Error& e) {
    EXPECT_NE(e.message(), "");
    return e.place();
  }
  return "none";
}
std::string place(const char* config) {
  return place_of([&] { read_options(config); });
}

TEST(RemoteOptions, HaveTheirDefaults) {
  const auto o = read_options(R"({"url": "https://a.example"})");
  EXPECT_EQ(o.protocol, "thalweg-reward/1");
  EXPECT_EQ(o.http.connect_s, 5);
  EXPECT_EQ(o.client.request_s, 60);
  EXPECT_EQ(o.client.retries, 5);
  EXPECT_EQ(o.batch_s, 300);
  EXPECT_EQ(o.reward.format, "png");
}

TEST(RemoteOptions, AreRefusedAtTheirPointer) {
  EXPECT_EQ(place("{}"), "/url");
  EXPECT_EQ(place(R"({"url": "https://a.example", "modle": "x"})"), "/modle");
  EXPECT_EQ(place(R"({"url": "https://a.example", "model": "x"})"), "/model");  // of another protocol
  EXPECT_EQ(place(R"({"url": "https://a.example", "protocol": "chatt"})"), "/protocol");
  EXPECT_EQ(place(R"({"url": "https://a.example", "retries": 21})"), "/retries");
  EXPECT_EQ(place(R"({"url": "https://a.example", "timeouts": {"request_s": 0}})"), "/timeouts/request_s");
  EXPECT_EQ(place(R"({"url": "https://a.example", "limits": {"max_tokens": 5}})"), "/limits/max_tokens");
  EXPECT_EQ(place(R"({"url": "https://a.example", "limits": {"max_cost": 5}})"), "/limits/max_cost");
  EXPECT_EQ(place(R"({"url": "https://a.example", "rate": {"tokens_per_minute": 5}})"),
            "/rate/tokens_per_minute");
  EXPECT_EQ(
      place(
          R"({"url": "https://a.example", "protocol": "chat", "model": "m", "template": "t", "limits": {"max_cost": 5}})"),
      "/limits/max_cost");
  EXPECT_EQ(place(R"({"url": "https://a.example", "protocol": "chat", "template": "t"})"), "/model");
  EXPECT_EQ(
      place(
          R"({"url": "https://a.example", "protocol": "chat", "model": "m", "template": "t", "tokens_per_picture": 0})"),
      "/tokens_per_picture");
  EXPECT_EQ(
      place(
          R"({"url": "https://a.example", "protocol": "chat", "model": "m", "template": "t", "parse": {"name": "p_yess"}})"),
      "/parse/name");
  EXPECT_EQ(
      place(
          R"({"url": "https://a.example", "protocol": "chat", "model": "m", "template": "t", "parse": {"name": "p_yes", "pattern": "x"}})"),
      "/parse/pattern");
}

TEST(RemoteOptions, ThoseOfTheReadmeAreTaken) {
  const auto text = thalweg::read_file(THALWEG_SOURCE_DIR "/plugins/remote/README.md");
  int found = 0;
  for (size_t at = 0; (at = text.find("```json\n", at)) != std::string::npos;) {
    at += 8;
    const auto entry = thalweg::parse_json(text.substr(at, text.find("```", at) - at), "README.md");
    EXPECT_EQ(entry.at("plugin"), "remote");
    EXPECT_NO_THROW(read_options(entry.at("config").dump())) << entry;
    ++found;
  }
  EXPECT_EQ(found, 3);
}

class InFolder : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("remote-options-" + std::to_string(::getpid()));
};

using ChatOptionsTest = InFolder;
TEST_F(ChatOptionsTest, AreCheckedAgainstTheTemplate) {
  ChatOptions o;
  o.model = "m";
  const auto chat_place = [&](const std::string& text, auto&& change) {
    auto changed = o;
    changed.template_file = write("template.txt", text);
    change(changed);
    return place_of([&] { chat_protocol(changed); });
  };
  const auto nothing = [](ChatOptions&) {};
  EXPECT_EQ(chat_place("{prompt}{image:0}", nothing), "none");
  EXPECT_EQ(chat_place("{prompt}", nothing), "/template");
  EXPECT_EQ(chat_place("{image:0}{promt}", nothing), "/template");
  EXPECT_EQ(chat_place("{image:0}{criteria}", nothing), "/criteria");
  EXPECT_EQ(chat_place("{image:0}", [](auto& c) { c.criteria = "colours"; }), "/criteria");
  EXPECT_EQ(chat_place("{image:0}", [](auto& c) { c.template_file = "/nowhere"; }), "/template");
  EXPECT_EQ(chat_place("{image:0}", [&](auto& c) { c.system_file = write("system.txt", "{image:0}"); }),
            "/system");
  EXPECT_EQ(chat_place("{image:0}", [](auto& c) { c.both_orders_said = true; }), "/both_orders");
  EXPECT_EQ(chat_place("{image:0}{reference:0}", [](auto& c) { c.both_orders_said = true; }), "none");
  EXPECT_EQ(chat_place("{image:0}", [](auto& c) { c.extra_body["messages"] = 3; }), "/extra_body/messages");
  EXPECT_EQ(chat_place("{image:0}",
                       [](auto& c) {
                         c.parse.name = "regex";
                         c.parse.regex = {"x", 0, 1};
                       }),
            "/parse/pattern");
  EXPECT_EQ(chat_place("{image:0}",
                       [](auto& c) {
                         c.parse.name = "regex";
                         c.parse.regex = {"(x)", 1, 1};
                       }),
            "/parse/high");
  EXPECT_EQ(chat_place("{image:0}", [](auto& c) { c.parse.name = "json"; }), "/parse/fields");
  EXPECT_EQ(chat_place("{image:0}", [](auto& c) { c.parse.name = "level_logits"; }), "/parse/levels");
  EXPECT_EQ(chat_place("{image:0}", [](auto& c) { c.parse.p_yes.no = {"yes"}; }), "/parse/no");
}

constexpr const char* kVariable = "REMOTE_OPTIONS_TEST_KEY";

using SecretTest = InFolder;
TEST_F(SecretTest, ComesFromTheEnvironmentOrAPrivateFile) {
  EXPECT_TRUE(Secret().empty());
  ::setenv(kVariable, "key-12345678", 1);
  EXPECT_EQ(Secret(kVariable, "").authorization(), "Authorization: Bearer key-12345678");
  const auto file = write("key", "key-abcdefgh\n");
  ::chmod(file.c_str(), 0644);
  EXPECT_EQ(place_of([&] { Secret("", file); }), "/api_key_file");
  ::chmod(file.c_str(), 0600);
  EXPECT_EQ(Secret("", file).authorization(), "Authorization: Bearer key-abcdefgh");
  EXPECT_EQ(place_of([&] { Secret(kVariable, file); }), "/api_key_file");
  EXPECT_EQ(place_of([&] { Secret("", "/nowhere"); }), "/api_key_file");
  ::unsetenv(kVariable);
  EXPECT_EQ(place_of([&] { Secret(kVariable, ""); }), "/api_key_env");
}

TEST_F(SecretTest, IsNoHeaderOfItsOwnAndIsNotShown) {
  for (const auto* bad : {"key-1234\r\nX: y", "key 12345678", "short", "key-\xC3\xA4-12345"}) {
    ::setenv(kVariable, bad, 1);
    try {
      const Secret secret(kVariable, "");
      ADD_FAILURE() << bad;
    } catch (const thalweg::Error& e) {
      EXPECT_EQ(std::string(e.what()).find(bad), std::string::npos);
    }
  }
  ::setenv(kVariable, "key-12345678", 1);
  EXPECT_EQ(Secret(kVariable, "").redacted("a key-12345678, and key-12345678"),
            "a [the API key], and [the API key]");
  ::unsetenv(kVariable);
}

}  // namespace
}  // namespace remote
