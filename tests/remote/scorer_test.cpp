// What is sent for a batch and what becomes of the answers, with a server that is a function.
#include "plugins/remote/scorer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "engine/core/base64.h"
#include "engine/core/error.h"
#include "tests/remote/fakes.h"

namespace remote {
namespace {

using testing::FakeClock;
using testing::FakeTransport;
using testing::replied;
using thalweg::Json;

/// Frames of one colour.
struct Picture {
  explicit Picture(float value, int64_t F = 1)
      : values(static_cast<size_t>(F * 3 * 2 * 2), value), frames(F) {}
  Pictures view() const { return {values.data(), frames, 2, 2}; }
  std::vector<float> values;
  int64_t frames;
};

Sample sample(const Picture& picture, const std::string& prompt) {
  Sample s;
  s.prompt = prompt;
  s.metadata = "{}";
  s.frames = picture.view();
  return s;
}

struct Around {
  Around(std::unique_ptr<Protocol> p, std::function<HttpReply(int, const HttpRequest&, double)> serve,
         const std::string& file = "", const Caps& caps = {})
      : protocol(std::move(p)),
        transport(std::move(serve)),
        store(file),
        cache(store, 1 << 20),
        budget(store, "j", caps),
        client(ClientOptions{.retries = 1, .concurrency = 4}, transport, budget, clock, {}),
        scorer(*protocol, client, cache, "j", [this](const std::string& line) { warned = line; }) {
    protocol->start(client, clock.now() + 100);
  }
  std::vector<ScoredSample> score(const std::vector<Sample>& samples) {
    return scorer.score(samples, clock.now() + 100);
  }

  FakeClock clock;
  std::unique_ptr<Protocol> protocol;
  FakeTransport transport;
  Store store;
  Cache cache;
  Budget budget;
  Client client;
  std::string warned;
  Scorer scorer;
};

class InFolder : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<Protocol> chat(const std::string& text,
                                 const std::function<void(ChatOptions&)>& change = {}) const {
    std::ofstream(folder_ / "template.txt") << text;
    ChatOptions o;
    o.model = "judge-7b";
    o.template_file = folder_ / "template.txt";
    if (change) change(o);
    return chat_protocol(o);
  }
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("remote-scorer-" + std::to_string(::getpid()));
};

HttpReply yes(double p, int tokens = 0) {
  Json json = {{"choices",
                {{{"message", {{"content", "Yes"}}},
                  {"logprobs",
                   {{"content",
                     {{{"token", "Yes"},
                       {"logprob", std::log(p)},
                       {"top_logprobs",
                        {{{"token", "Yes"}, {"logprob", std::log(p)}},
                         {{"token", "No"}, {"logprob", std::log(1 - p)}}}}}}}}}}}}};
  if (tokens > 0) json["usage"] = {{"prompt_tokens", tokens - 1}, {"completion_tokens", 1}};
  return replied(200, json.dump());
}

using Chat = InFolder;
TEST_F(Chat, SendsTextAndPicturesInTheTemplatesOrder) {
  Json body;
  Around a(chat("Look: {image:0} Is this \"{prompt}\"?",
                [](auto& o) {
                  o.extra_body = {{"top_k", 1}};
                }),
           [&](int, const HttpRequest& request, double) {
             EXPECT_EQ(request.path, "/chat/completions");
             body = Json::parse(request.json);
             return yes(0.75);
           });
  const Picture picture(0.5F);
  const std::string prompt = "{image:0} \"quoted\" \\ {criteria}\n" + std::string(100000, 'x');
  const auto scored = a.score({sample(picture, prompt)});
  ASSERT_EQ(scored[0].failure, "");
  EXPECT_NEAR(scored[0].scores_K.at(0), 0.75, 1e-12);
  EXPECT_EQ(body.at("model"), "judge-7b");
  EXPECT_EQ(body.at("temperature"), 0.0);
  EXPECT_EQ(body.at("max_completion_tokens"), 1);
  EXPECT_EQ(body.at("top_logprobs"), 20);
  EXPECT_EQ(body.at("top_k"), 1);
  const auto& content = body.at("messages").at(0).at("content");
  ASSERT_EQ(content.size(), 3u);
  EXPECT_EQ(content.at(0).at("text"), "Look: ");
  EXPECT_EQ(content.at(2).at("text"), " Is this \"" + prompt + "\"?");
  const auto url = content.at(1).at("image_url").at("url").get<std::string>();
  ASSERT_EQ(url.substr(0, 22), "data:image/png;base64,");
  EXPECT_EQ(thalweg::decode_base64(url.substr(22)).value(), png_of(picture.view(), 0));
}

TEST_F(Chat, AVideoIsFramesFromFirstToLast) {
  Json body;
  Around a(chat("{image:0}", [](auto& o) { o.frames = 3; }), [&](int, const HttpRequest& request, double) {
    body = Json::parse(request.json);
    return yes(0.5);
  });
  Picture video(0.0F, 6);
  for (size_t f = 0; f < 6; ++f)
    std::fill_n(video.values.begin() + static_cast<std::ptrdiff_t>(12 * f), 12, static_cast<float>(f) / 5);
  a.score({sample(video, "")});
  const auto& content = body.at("messages").at(0).at("content");
  ASSERT_EQ(content.size(), 3u);
  for (const auto& [at, frame] : {std::pair{0, 0}, std::pair{1, 3}, std::pair{2, 5}})  // round(2.5) = 3
    EXPECT_EQ(content.at(at).at("image_url").at("url"),
              "data:image/png;base64," + thalweg::encode_base64(png_of(video.view(), frame)));
}

TEST(Frames, AreSpread) {
  EXPECT_EQ(spread_frames(5, 8), (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(spread_frames(81, 4), (std::vector<int64_t>{0, 27, 53, 80}));
  EXPECT_EQ(spread_frames(9, 1), (std::vector<int64_t>{0}));
}

TEST_F(Chat, APairIsAskedInBothOrdersAndTheirMeanCounts) {
  const Picture ours(1.0F), theirs(0.0F);
  const auto white = "data:image/png;base64," + thalweg::encode_base64(png_of(ours.view(), 0));
  // A judge that says 0.8 to its better picture in second place and 0.6 in the first.
  Around a(chat("{reference:0}{image:0}"), [&](int, const HttpRequest& request, double) {
    const auto content = Json::parse(request.json).at("messages").at(0).at("content");
    return yes(content.at(1).at("image_url").at("url") == white ? 0.8 : 1 - 0.6);
  });
  auto s = sample(ours, "p");
  s.reference = theirs.view();
  const auto scored = a.score({s});
  EXPECT_NEAR(scored[0].scores_K.at(0), 0.7, 1e-12);
  EXPECT_EQ(a.transport.sent(), 2);
  s.reference.reset();
  EXPECT_NE(a.score({s})[0].failure.find("reference"), std::string::npos);
}

TEST_F(Chat, WhatWasAnsweredIsNotAskedAgain) {
  const Picture grey(0.5F), white(1.0F), almost(0.5004F);
  const auto file = folder_ / "answers.sqlite";
  std::atomic<int> n{0};
  const auto serve = [&](int, const HttpRequest&, double) { return yes(0.5 + 0.01 * ++n); };
  std::vector<double> first;
  {
    Around a(chat("{prompt}{image:0}"), serve, file);
    // The second is the first; the third has the same 8-bit levels; then another prompt and another picture.
    for (const auto& s : a.score({sample(grey, "a"), sample(grey, "a"), sample(almost, "a"),
                                  sample(grey, "b"), sample(white, "a")}))
      first.push_back(s.scores_K.at(0));
    EXPECT_EQ(a.transport.sent(), 3);
    EXPECT_EQ(first[0], first[1]);
    EXPECT_EQ(first[0], first[2]);
    EXPECT_EQ((std::set<double>{first[0], first[3], first[4]}.size()), 3u);
  }
  Around again(chat("{prompt}{image:0}"), serve, file);
  const auto scored = again.score({sample(white, "a"), sample(grey, "b"), sample(grey, "a")});
  EXPECT_EQ(again.transport.sent(), 0);
  EXPECT_EQ(scored[0].scores_K.at(0), first[4]);  // bit for bit
  EXPECT_EQ(scored[1].scores_K.at(0), first[3]);
  EXPECT_EQ(scored[2].scores_K.at(0), first[0]);
  Around other(chat("{prompt} {image:0}"), serve, file);  // another template
  other.score({sample(white, "a")});
  EXPECT_EQ(other.transport.sent(), 1);
}

TEST_F(Chat, ASampledAnswerIsThatOfItsSeed) {
  const Picture grey(0.5F);
  Around a(chat("{image:0}", [](auto& o) { o.temperature = 1; }),
           [](int, const HttpRequest&, double) { return yes(0.5); });
  auto s = sample(grey, "");
  a.score({s, s});
  EXPECT_EQ(a.transport.sent(), 1);
  s.seed = 7;
  a.score({s});
  EXPECT_EQ(a.transport.sent(), 2);
}

TEST_F(Chat, FailuresAreNotKept) {
  std::atomic<bool> down{true};
  Around a(chat("{image:0}"),
           [&](int, const HttpRequest&, double) { return down ? replied(400, "no") : yes(0.5); });
  const Picture grey(0.5F);
  EXPECT_NE(a.score({sample(grey, "")})[0].failure, "");
  down = false;
  EXPECT_EQ(a.score({sample(grey, "")})[0].failure, "");
}

TEST_F(Chat, PromptsThatAreNoTextAndPicturesThatAreNoneAreNotSent) {
  Around a(chat("{prompt}{image:0}"), [](int, const HttpRequest&, double) { return yes(0.5); });
  const Picture grey(0.5F), bad(std::nanf(""));
  const auto scored = a.score({sample(grey, "\xff\xfe"), sample(bad, "a"), sample(grey, "a")});
  EXPECT_NE(scored[0].failure.find("UTF-8"), std::string::npos);
  EXPECT_NE(scored[1].failure.find("finite"), std::string::npos);
  EXPECT_EQ(scored[2].failure, "");
  EXPECT_EQ(a.transport.sent(), 1);
}

TEST_F(Chat, CostIsWhatTheServerCountedAndNeverMoreThanTheCap) {
  const auto priced = [](auto& o) {
    o.input_price = 1e6;  // 1 a token
    o.tokens_per_picture = 100;
  };
  const Picture grey(0.5F);
  // Set aside: of the question, which has a letter; of the answer at no price. Used: 9.
  const auto first = sample(grey, "0");
  const double most = chat("{prompt}{image:0}", priced)->most({{&first, false}}).cost;
  ASSERT_GT(most, 165);
  Around a(chat("{prompt}{image:0}", priced), [](int, const HttpRequest&, double) { return yes(0.5, 10); },
           "", {.cost = most + 35});
  std::vector<Sample> samples;
  for (int i = 0; i < 40; ++i) samples.push_back(sample(grey, std::to_string(i)));
  int scored = 0;
  for (const auto& s : samples) scored += a.score({s})[0].failure.empty();
  // One at a time: it fits while 9 n (one more with two digits) <= 35.
  EXPECT_EQ(scored, 4);
  EXPECT_EQ(a.transport.sent(), 4);
  EXPECT_DOUBLE_EQ(a.budget.spent().cost, 36);
}

TEST_F(Chat, TheBoundOfTokensHasAllThatIsSentAsText) {
  const Picture grey(0.5F);
  const auto s = sample(grey, "p");
  const auto tokens = [&](const std::function<void(ChatOptions&)>& change) {
    return chat("{prompt}{image:0}", change)->most({{&s, false}}).tokens;
  };
  const auto plain = tokens([](auto&) {});
  const auto text = std::string(1000, 'x');
  EXPECT_GE(tokens([&](auto& o) { o.extra_body = {{"tools", {text}}}; }), plain + 1000);
  EXPECT_GE(tokens([&](auto& o) {
              o.parse.name = "json";
              o.parse.json.fields = {{text, 0, 1}};
            }),
            plain + 1000);
}

Json description() {
  return {{"protocol", 1},
          {"id", "org.example.judge"},
          {"version", "1"},
          {"dimensions", {{{"name", "a"}}, {{"name", "b"}}}},
          {"inputs", {"frames", "prompts"}},
          {"formats", {"png", "raw"}},
          {"max_batch", 2},
          {"gradient", true}};
}

using Serve = std::function<Json(const Json& request)>;
/// A server of the protocol, whose scores `serve` says.
std::function<HttpReply(int, const HttpRequest&, double)> server(Serve serve,
                                                                 const Json& says = description()) {
  return [=](int, const HttpRequest& request, double) {
    if (request.method == "GET") return replied(200, says.dump());
    const auto json = Json::parse(request.parts.front().data);
    return replied(200, Json{{"request_id", json.at("request_id")}, {"values", serve(json)}}.dump());
  };
}

TEST(RewardProtocol, BatchesAreThoseOfTheServer) {
  std::vector<size_t> sizes;
  Around a(reward_protocol({.format = "raw"}), server([&](const Json& request) {
             sizes.push_back(request.at("prompts").size());
             Json values = Json::array();
             for (const auto& prompt : request.at("prompts"))
               values.push_back({prompt.get<std::string>().size(), nullptr});
             return values;
           }));
  EXPECT_EQ(a.protocol->dimensions(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(a.protocol->has_gradient());
  const Picture grey(0.5F);
  const auto scored = a.score({sample(grey, "1"), sample(grey, "22"), sample(grey, "333")});
  std::sort(sizes.begin(), sizes.end());
  EXPECT_EQ(sizes, (std::vector<size_t>{1, 2}));
  for (size_t b = 0; b < 3; ++b) {
    EXPECT_EQ(scored[b].scores_K.at(0), static_cast<double>(b + 1));
    EXPECT_TRUE(std::isnan(scored[b].scores_K.at(1)));  // null
  }
}

TEST(RewardProtocol, AnAnswerThatIsOfItsSampleIsNotAnothersToo) {
  for (const bool of_sample : {false, true}) {
    auto says = description();
    says["nondeterministic"] = of_sample;
    says["max_batch"] = 1;
    Around a(reward_protocol({}), server([](const Json&) { return Json{{1, 2}}; }, says));
    const Picture grey(0.5F);
    auto seed = sample(grey, "p"), id = seed, group = seed;
    seed.seed = 1;
    id.sample_id = 1;
    group.group_id = 1;
    for (const auto& scored : a.score({sample(grey, "p"), seed, id, group})) EXPECT_EQ(scored.failure, "");
    EXPECT_EQ(a.transport.sent(), of_sample ? 1 + 4 : 1 + 1);  // the description, and the questions
  }
}

TEST(RewardProtocol, NothingThatIsNoScoreBecomesOne) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([[1, 2], [3, 4]])", "one row"}, {R"([])", "one row"},
      {R"([[1]])", "one score"},          {R"([[1, 2, 3]])", "one score"},
      {R"([[1, "2"]])", "no number"},     {R"([[1, true]])", "no number"},
      {R"([[1, 1e39]])", "not finite"},   {R"([[1, 1e400]])", "no JSON"},
      {R"([[1, NaN]])", "no JSON"},       {R"([1])", "one score"},
      {R"({"0": [1, 2]})", "one row"},    {R"("x")", "one row"}};
  for (const auto& [values, said] : cases) {
    Around a(reward_protocol({}), [&, values = values](int, const HttpRequest& request, double) {
      if (request.method == "GET") return replied(200, description().dump());
      const auto id = Json::parse(request.parts.front().data).at("request_id").dump();
      return replied(200, R"({"request_id": )" + id + R"(, "values": )" + values + "}");
    });
    const Picture grey(0.5F);
    const auto scored = a.score({sample(grey, "p")});
    EXPECT_TRUE(scored[0].scores_K.empty()) << values;
    EXPECT_NE(scored[0].failure.find(said), std::string::npos) << values << ": " << scored[0].failure;
    EXPECT_EQ(a.transport.sent(), 3) << values;  // the description, and twice the question
  }
}

TEST(RewardProtocol, AnAnswerToAnotherQuestionIsNone) {
  Around a(reward_protocol({}), [&](int, const HttpRequest& request, double) {
    return replied(
        200, request.method == "GET" ? description().dump() : R"({"request_id": "1", "values": [[1, 2]]})");
  });
  const Picture grey(0.5F);
  EXPECT_NE(a.score({sample(grey, "p")})[0].failure.find("request_id"), std::string::npos);
}

TEST(RewardProtocol, AServerThatBecomesAnotherIsNotBelieved) {
  std::string model = "one";
  Around a(reward_protocol({}), [&](int, const HttpRequest& request, double) {
    if (request.method == "GET") return replied(200, description().dump());
    const auto json = Json::parse(request.parts.front().data);
    return replied(
        200, Json{{"request_id", json.at("request_id")}, {"values", {{1, 2}}}, {"model", model}}.dump());
  });
  const Picture grey(0.5F), white(1.0F);
  EXPECT_EQ(a.score({sample(grey, "p")})[0].failure, "");
  model = "two";
  EXPECT_NE(a.score({sample(white, "p")})[0].failure.find("\"two\""), std::string::npos);
}

TEST(RewardProtocol, DescriptionsAreChecked) {
  const auto place = [](const std::function<void(Json&)>& change, RewardProtocolOptions options = {}) {
    auto says = description();
    change(says);
    try {
      Around(reward_protocol(options), server([](const Json&) { return Json(); }, says));
    } catch (const thalweg::Error& e) {
      return e.place();
    }
    return std::string("none");
  };
  const auto nothing = [](Json&) {};
  EXPECT_EQ(place(nothing), "none");
  EXPECT_EQ(place([](Json& j) { j["protocol"] = 2; }), "/url");
  EXPECT_EQ(place([](Json& j) { j.erase("id"); }), "/url");
  EXPECT_EQ(place([](Json& j) { j["dimensions"] = Json::array(); }), "/url");
  EXPECT_EQ(place([](Json& j) { j["dimensions"] = {"a"}; }), "/url");
  EXPECT_EQ(place([](Json& j) { j["inputs"] = {"latents"}; }), "/url");
  EXPECT_EQ(place([](Json& j) { j["max_batch"] = 0; }), "/url");
  EXPECT_EQ(place([](Json& j) { j["group"] = true; }), "/url");
  EXPECT_EQ(place([](Json& j) { j["gradient"] = "yes"; }), "/url");
  EXPECT_EQ(place([](Json& j) { j["formats"] = {"raw"}; }), "/format");
  EXPECT_EQ(place([](Json& j) { j["unknown"] = 3; }), "none");
  EXPECT_EQ(place(nothing, {.format = "png", .expect = {.id = "other", .version = {}, .weights_sha256 = {}}}),
            "/expect/id");
  EXPECT_EQ(place(nothing, {.format = "png", .expect = {.id = {}, .version = "2", .weights_sha256 = {}}}),
            "/expect/version");
}

TEST(RewardProtocol, GradientsHaveTheFramesSize) {
  const Picture grey(0.5F);
  std::string second(12 * sizeof(float), '\0');
  Around a(reward_protocol({.format = "raw"}), [&](int, const HttpRequest& request, double) {
    if (request.method == "GET") return replied(200, description().dump());
    EXPECT_EQ(request.path, "/v1/reward/vjp");
    EXPECT_EQ(request.parts.back().name, "cotangent");
    auto reply = replied(
        200, "--x\r\nContent-Disposition: form-data; name=\"g0\"\r\n\r\n" + request.parts[1].data +
                 "\r\n--x\r\nContent-Disposition: form-data; name=\"g1\"\r\n\r\n" + second + "\r\n--x--");
    reply.content_type = "multipart/form-data; boundary=x";
    return reply;
  });
  const auto two = std::vector<Sample>{sample(grey, "a"), sample(grey, "b")};
  const auto found = a.scorer.gradient(two, {1, 0, 0, 1}, a.clock.now() + 10);
  EXPECT_EQ(found[0].failure, "");
  EXPECT_EQ(found[0].values, grey.values);
  EXPECT_EQ(found[1].values, std::vector<float>(12, 0.0F));
  second.pop_back();
  const auto none = a.scorer.gradient(two, {1, 0, 0, 1}, a.clock.now() + 10);
  EXPECT_TRUE(none[0].values.empty());
  EXPECT_NE(none[0].failure.find("\"g1\""), std::string::npos) << none[0].failure;
}

TEST(FlowFactory, SendsPicturesAndReadsRewards) {
  Json body;
  Around a(flow_factory_protocol({.batch = 8}), [&](int, const HttpRequest& request, double) {
    if (request.path == "/health") return replied(200, R"({"status": "ok"})");
    body = Json::parse(request.json);
    return replied(200, R"({"rewards": [0.5, null]})");
  });
  const Picture grey(0.5F), white(1.0F);
  const auto scored = a.score({sample(grey, "a"), sample(white, "b")});
  EXPECT_EQ(scored[0].scores_K.at(0), 0.5);
  EXPECT_TRUE(std::isnan(scored[1].scores_K.at(0)));
  EXPECT_EQ(body.at("prompt"), (Json{"a", "b"}));
  EXPECT_EQ(body.at("image").at(1), thalweg::encode_base64(png_of(white.view(), 0)));
  EXPECT_TRUE(body.at("video").is_null());
}

}  // namespace
}  // namespace remote
