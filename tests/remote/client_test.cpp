// The client with a server that is a function and a clock that nobody waits for.
#include "plugins/remote/client.h"

#include <gtest/gtest.h>

#include "plugins/remote/completion.h"
#include "tests/remote/fakes.h"

namespace remote {
namespace {

using testing::broken;
using testing::FakeClock;
using testing::FakeTransport;
using testing::replied;

struct Around {
  explicit Around(std::function<HttpReply(int, const HttpRequest&, double)> serve,
                  const ClientOptions& options = {}, const Caps& caps = {})
      : transport(std::move(serve)),
        budget(store, "judge", caps),
        client(options, transport, budget, clock, {}) {}

  std::string one(double seconds = 1000) { return client.run({question()}, clock.now() + seconds).front(); }
  std::vector<std::string> many(int count, double seconds = 1000) {
    return client.run(std::vector<Exchange>(static_cast<size_t>(count), question()), clock.now() + seconds);
  }
  Exchange question() {
    return {.request = [] { return HttpRequest{.path = "/x", .headers = {}, .json = "{}", .parts = {}}; },
            .read =
                [this](const HttpReply& reply) {
                  ++read;
                  if (reply.body == "nonsense") throw Unreadable("is nonsense");
                },
            .used = {},
            .most = {1, 10, 0}};
  }

  FakeClock clock;
  FakeTransport transport;
  Store store{""};
  Budget budget;
  std::atomic<int> read{0};
  Client client;
};

TEST(Client, AGoodAnswerIsReadOnce) {
  Around a([](int, const HttpRequest&, double) { return replied(200); });
  EXPECT_EQ(a.one(), "");
  EXPECT_EQ(a.transport.sent(), 1);
  EXPECT_EQ(a.read, 1);
}

TEST(Client, ThreeTimes500ThenAnAnswer) {
  Around a([](int n, const HttpRequest&, double) { return n < 3 ? replied(500, "oops") : replied(200); });
  const double begin = a.clock.now();
  EXPECT_EQ(a.one(), "");
  EXPECT_EQ(a.transport.sent(), 4);
  EXPECT_LE(a.clock.now() - begin, 0.5 + 1 + 2);
}

TEST(Client, GivesUpAfterItsRetriesWithTheServersWords) {
  Around a([](int, const HttpRequest&, double) { return replied(503, "no\nGPU"); });
  EXPECT_EQ(a.one(), "the server answers with status 503: no GPU");
  EXPECT_EQ(a.transport.sent(), 6);
  EXPECT_EQ(a.read, 0);
}

TEST(Client, SomeFailuresAreFinal) {
  for (const int status : {301, 400, 401, 404, 413, 422}) {
    Around a([&](int, const HttpRequest&, double) { return replied(status); });
    EXPECT_NE(a.one().find(std::to_string(status)), std::string::npos);
    EXPECT_EQ(a.transport.sent(), 1) << status;
  }
  Around refused([](int, const HttpRequest&, double) { return broken("is private", false, false); });
  EXPECT_EQ(refused.one(), "is private");
  EXPECT_EQ(refused.transport.sent(), 1);
}

TEST(Client, WaitsAsLongAsTheServerAsks) {
  for (const auto* asked : {"17", "Sun, 09 Sep 2001 02:03:37 GMT"}) {  // 1e9 + 1017, by the fake clock
    Around a(
        [&](int n, const HttpRequest&, double) { return n == 0 ? replied(429, "", asked) : replied(200); });
    const double begin = a.clock.now();
    EXPECT_EQ(a.one(), "");
    EXPECT_NEAR(a.clock.now() - begin, 17, 1e-6) << asked;
  }
}

TEST(Client, DoesNotWaitBeyondTheBatchsTime) {
  Around a([](int, const HttpRequest&, double) { return replied(429, "", "100"); });
  const double begin = a.clock.now();
  EXPECT_NE(a.one(50).find("time is up"), std::string::npos);
  EXPECT_EQ(a.transport.sent(), 1);
  EXPECT_LT(a.clock.now() - begin, 50);
}

TEST(Client, ARequestHasWhatIsLeftOfTheBatchsTime) {
  std::vector<double> given;
  Around a([&](int, const HttpRequest&, double seconds) {
    given.push_back(seconds);
    a.clock.advance(seconds);
    return broken("no answer", true, true);
  });
  EXPECT_NE(a.one(130), "");
  ASSERT_GE(given.size(), 2u);
  EXPECT_EQ(given[0], 60);
  EXPECT_LE(given.back(), 60);
  EXPECT_LE(a.clock.now(), 1000 + 130 + 1e-6);
}

TEST(Client, AnAnswerThatCannotBeReadIsAskedForOnceMore) {
  Around a([](int, const HttpRequest&, double) { return replied(200, "nonsense"); });
  EXPECT_EQ(a.one(), "is nonsense");
  EXPECT_EQ(a.transport.sent(), 2);
  Around mended([](int n, const HttpRequest&, double) { return replied(200, n == 0 ? "nonsense" : ""); });
  EXPECT_EQ(mended.one(), "");
}

TEST(Client, AServerThatFailsIsLeftAlone) {
  ClientOptions options;
  options.retries = 0;
  options.concurrency = 1;
  Around a([](int, const HttpRequest&, double) { return broken("reset", true, true); }, options);
  const auto said = a.many(30);
  EXPECT_EQ(a.transport.sent(), 10);
  EXPECT_EQ(said[9], "reset");
  EXPECT_NE(said[10].find("circuit breaker"), std::string::npos);
  a.clock.advance(31);
  a.many(30);
  EXPECT_EQ(a.transport.sent(), 11);  // one tries
}

TEST(Client, AProbeThatCannotBeSentKeepsNobodyOut) {
  ClientOptions options;
  options.retries = 0;
  options.concurrency = 1;
  Around a(
      [](int n, const HttpRequest&, double) {
        if (n == 10) throw std::bad_alloc();
        return n < 10 ? broken("reset", true, true) : replied(200);
      },
      options);
  a.many(10);
  a.clock.advance(31);
  EXPECT_NE(a.one(), "");
  EXPECT_EQ(a.one(), "");
}

TEST(Client, TheRateIsKept) {
  ClientOptions options;
  options.requests_per_minute = 60;
  options.concurrency = 1;
  Around a([](int, const HttpRequest&, double) { return replied(200); }, options);
  const double begin = a.clock.now();
  for (const auto& failure : a.many(70)) EXPECT_EQ(failure, "");
  EXPECT_NEAR(a.clock.now() - begin, 60, 1);  // ten at once, then one a second
}

TEST(Client, TheCapIsExactUnderSixtyFourThreads) {
  ClientOptions options;
  options.concurrency = 64;
  Around a(
      [](int n, const HttpRequest&, double) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return n % 3 == 0 ? replied(500) : replied(200);
      },
      options, {.requests = 100});
  const auto said = a.many(200);
  EXPECT_EQ(a.transport.sent(), 100);
  EXPECT_EQ(a.budget.spent().requests, 100);
  EXPECT_GT(std::count_if(said.begin(), said.end(),
                          [](const auto& s) { return s.find("/limits/max_requests") != std::string::npos; }),
            0);
}

TEST(Client, WhatWasNotSentCostsNothing) {
  ClientOptions options;
  options.retries = 3;
  Around a([](int, const HttpRequest&, double) { return broken("no connection", true, false); }, options);
  a.one();
  EXPECT_EQ(a.budget.spent().requests, 0);
  EXPECT_EQ(a.budget.spent().tokens, 0);
  Around lost([](int, const HttpRequest&, double) { return broken("cut short", true, true); }, options);
  lost.one();
  EXPECT_EQ(lost.budget.spent().requests, 4);
  EXPECT_EQ(lost.budget.spent().tokens, 40);  // it may have cost all of it
}

TEST(Client, AnAnswerThatWasPaidForIsReadThoughItsPriceCannotBeWritten) {
  Around a([](int, const HttpRequest&, double) { return replied(200); });
  a.store.run(
      "CREATE TRIGGER full BEFORE UPDATE ON spent WHEN new.tokens < old.tokens BEGIN SELECT RAISE(ABORT, "
      "'the "
      "disk is full'); END");
  auto question = a.question();
  question.used = [](const HttpReply&) { return Spending{1, 3, 0}; };
  EXPECT_EQ(a.client.run({question}, a.clock.now() + 10).front(), "");
  EXPECT_EQ(a.read, 1);
  EXPECT_EQ(a.transport.sent(), 1);
  EXPECT_EQ(a.budget.spent().tokens, 10);  // as set aside
}

TEST(Client, NothingIsSentWhereWhatIsSpentCannotBeWritten) {
  Around a([](int, const HttpRequest&, double) { return replied(200); });
  a.store.run(
      "CREATE TRIGGER full BEFORE UPDATE ON spent BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
  EXPECT_NE(a.one().find("the disk is full"), std::string::npos);
  EXPECT_EQ(a.transport.sent(), 0);
}

TEST(Client, AnExceptionIsTheQuestionsAlone) {
  Around a([](int, const HttpRequest&, double) { return replied(200); });
  auto bad = a.question();
  bad.request = []() -> HttpRequest { throw std::runtime_error("no picture"); };
  const auto said = a.client.run({bad, a.question()}, a.clock.now() + 10);
  EXPECT_EQ(said[0], "no picture");
  EXPECT_EQ(said[1], "");
}

}  // namespace
}  // namespace remote
