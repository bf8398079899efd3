// The life of a training run, on a trainee that only counts.
#include "pipelines/training/run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/machine.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

// x <- x / 2 + iteration; its evaluation is whatever `score` says.
class Counter final : public Trainee {
 public:
  Metrics iterate(int64_t iteration) override {
    if (iteration == fails_at) throw Error("/method", "cannot go on");
    if (iteration == pauses_at) {
      events.push_back({"error", "reward_failed", "nobody answers", Json::object()});
      throw Stopped{"nobody answers"};
    }
    x = x / 2.0 + static_cast<double>(iteration);
    if (iteration == event_at) events.push_back({"warn", "odd", "something odd", Json::object()});
    iterations.push_back(iteration);
    return {{"reward", x}};
  }
  HeldOut evaluate(int64_t step) override {
    evaluations.push_back(step);
    if (step == no_value_at) {
      events.push_back({"error", "no_value", "no value", Json::object()});
      throw Error("/evaluate/metric", "has no value");
    }
    return {score(step), "reward", {{"reward", score(step)}}, {}};
  }
  TensorMap shown() const override { return {{"x", at::full({1}, x, at::kDouble)}}; }
  void state(RunState& state) override { state.number("x", x); }
  std::vector<Event> start_events() const override { return {{"warn", "begun", "begun", Json::object()}}; }
  std::vector<Event> take_events() override { return std::exchange(events, {}); }
  void saved() override { ++saves; }

  double x = 1.0;
  int64_t fails_at = -1, pauses_at = -1, no_value_at = -1, event_at = -1, saves = 0;
  std::function<double(int64_t)> score = [](int64_t step) { return static_cast<double>(step); };
  std::vector<int64_t> iterations, evaluations;
  std::vector<Event> events;
};

class TrainingRunTest : public ::testing::Test {
 protected:
  RunPlan plan(int64_t iterations = 10, Json identity = {{"job", {{"a", 1}}}}) const {
    identity["inputs"] = Json::array();
    identity["machine"] = machine_identity();
    return {.phase = "count",
            .folder = folder_,
            .iterations = iterations,
            .evaluate_every = 4,
            .checkpoint = {.every = 3, .keep = 2},
            .shown_metric = "reward",
            .device = at::kCPU,
            .identity = std::move(identity)};
  }
  std::vector<Json> rows(const char* file = "metrics.jsonl") const {
    return MetricsLog::read_all(folder_ / file);
  }
  std::vector<int64_t> steps_of(const std::string& kind) const {
    std::vector<int64_t> steps;
    for (const auto& row : rows())
      if (row.at("kind") == kind) steps.push_back(row.at("step").get<int64_t>());
    return steps;
  }
  std::set<int64_t> checkpoints() const {
    std::set<int64_t> steps;
    for (const auto& path : list_checkpoints(folder_)) steps.insert(checkpoint_number(path));
    return steps;
  }

  const Scratch scratch_;
  const std::filesystem::path folder_ = scratch_ / "run";
  Observer observer_;
};

TEST_F(TrainingRunTest, IteratesEvaluatesAndKeepsTheBest) {
  Counter counter;
  counter.score = [](int64_t step) { return step == 4 ? 5.0 : 1.0; };
  TrainingRun run(plan(), counter, std::nullopt, observer_);
  run.run();
  EXPECT_EQ(counter.iterations, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(counter.evaluations, (std::vector<int64_t>{0, 4, 8, 10}));
  EXPECT_EQ(steps_of("train").back(), 10);
  EXPECT_EQ(steps_of("eval"), counter.evaluations);
  EXPECT_EQ(run.progress().best_step, 4);
  EXPECT_EQ(run.progress().best.at("x").item<double>(), rows().at(4).at("reward").get<double>());
  // The two newest and that of the best evaluation.
  EXPECT_EQ(checkpoints(), (std::set<int64_t>{4, 9, 10}));
}

// The start is never the best: a run that only falls still exports what it trained.
TEST_F(TrainingRunTest, TheStartIsNotTheBest) {
  Counter counter;
  counter.score = [](int64_t step) { return -static_cast<double>(step); };
  TrainingRun run(plan(), counter, std::nullopt, observer_);
  run.run();
  EXPECT_EQ(run.progress().best_step, 4);
}

TEST_F(TrainingRunTest, AStopLosesNothing) {
  Counter whole;
  TrainingRun(plan(), whole, std::nullopt, observer_).run();
  const auto expected = rows();
  for (int64_t stop = 1; stop < 10; ++stop) {
    std::filesystem::remove_all(folder_);
    Counter first, second;
    Observer stopping = observer_;
    stopping.stop_requested = [&] { return static_cast<int64_t>(first.iterations.size()) == stop; };
    TrainingRun stopped(plan(), first, std::nullopt, stopping);
    EXPECT_THROW(stopped.run(), Stopped);
    TrainingRun resumed(plan(), second, std::nullopt, observer_);
    EXPECT_EQ(resumed.progress().next, stop);
    resumed.run();
    EXPECT_EQ(second.x, whole.x) << stop;
    const auto found = rows();
    ASSERT_EQ(found.size(), expected.size()) << stop;
    for (size_t i = 0; i < found.size(); ++i)
      for (const char* key : {"step", "kind", "reward"}) EXPECT_EQ(found[i].at(key), expected[i].at(key));
  }
}

// What is done is kept whatever the checkpoints' distance, and why it paused stays on record.
TEST_F(TrainingRunTest, APauseLosesNothing) {
  Counter whole;
  TrainingRun(plan(), whole, std::nullopt, observer_).run();
  for (int64_t pause = 0; pause < 10; ++pause) {
    std::filesystem::remove_all(folder_);
    Counter first, second;
    first.pauses_at = pause;
    TrainingRun paused(plan(), first, std::nullopt, observer_);
    EXPECT_THROW(paused.run(), Stopped);
    TrainingRun resumed(plan(), second, std::nullopt, observer_);
    EXPECT_EQ(resumed.progress().next, pause);
    resumed.run();
    EXPECT_EQ(second.x, whole.x) << pause;
    std::map<std::string, int> types;
    for (const auto& row : rows("events.jsonl")) ++types[row.at("type").get<std::string>()];
    EXPECT_EQ(types, (std::map<std::string, int>{{"begun", 1}, {"reward_failed", 1}, {"paused", 1}}))
        << pause;
  }
}

TEST_F(TrainingRunTest, WhatIsDoneIsNotDoneAgain) {
  Counter first, second;
  TrainingRun(plan(), first, std::nullopt, observer_).run();
  TrainingRun again(plan(), second, std::nullopt, observer_);
  again.run();
  EXPECT_TRUE(second.iterations.empty());
  EXPECT_EQ(second.x, first.x);
}

TEST_F(TrainingRunTest, AnotherRunsFolderIsRefused) {
  Counter counter;
  TrainingRun(plan(), counter, std::nullopt, observer_).run();
  EXPECT_ERROR(TrainingRun(plan(10, {{"job", {{"a", 2}}}}), counter, std::nullopt, observer_), "/output");
}

TEST_F(TrainingRunTest, WhatEndedItIsOnRecord) {
  Counter counter;
  counter.event_at = 2;
  counter.fails_at = 5;
  TrainingRun run(plan(), counter, std::nullopt, observer_);
  EXPECT_THROW(run.run(), Error);
  const auto events = rows("events.jsonl");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].at("step"), 3);
  EXPECT_EQ(checkpoints(), (std::set<int64_t>{3, 4}));
}

// Wherever it is stopped: not lost before the first checkpoint, not repeated after one.
TEST_F(TrainingRunTest, WhatIsSaidAtTheStartIsOnRecordOnce) {
  for (int64_t stop = 0; stop < 6; ++stop) {
    std::filesystem::remove_all(folder_);
    Counter first, second;
    Observer stopping = observer_;
    stopping.stop_requested = [&] { return static_cast<int64_t>(first.iterations.size()) == stop; };
    if (stop > 0) {
      TrainingRun stopped(plan(), first, std::nullopt, stopping);
      EXPECT_THROW(stopped.run(), Stopped);
    } else {
      const TrainingRun killed(plan(), first, std::nullopt, observer_);
    }
    TrainingRun(plan(), second, std::nullopt, observer_).run();
    const auto events = rows("events.jsonl");
    ASSERT_EQ(events.size(), 1u) << stop;
    EXPECT_EQ(events[0].at("type"), "begun");
    EXPECT_EQ(events[0].at("step"), 0);
  }
}

// Ten iterations that were asked for at once, or three at first: the same run, evaluated once more.
TEST_F(TrainingRunTest, MoreIterationsGoOn) {
  Counter whole, first, second;
  TrainingRun(plan(), whole, std::nullopt, observer_).run();
  std::filesystem::remove_all(folder_);
  TrainingRun(plan(3), first, std::nullopt, observer_).run();
  TrainingRun more(plan(), second, std::nullopt, observer_);
  EXPECT_EQ(more.progress().next, 3);
  more.run();
  EXPECT_EQ(second.x, whole.x);
  EXPECT_EQ(steps_of("eval"), (std::vector<int64_t>{0, 3, 4, 8, 10}));
}

TEST_F(TrainingRunTest, FewerThanWereDoneAreRefused) {
  Counter counter;
  const auto asked = [](int64_t iterations) {
    return Json{{"job", {{"iterations", iterations}, {"optimizer", {{"schedule", "constant"}}}}}};
  };
  TrainingRun(plan(4, asked(4)), counter, std::nullopt, observer_).run();
  EXPECT_ERROR(TrainingRun(plan(3, asked(3)), counter, std::nullopt, observer_), "/iterations");
  EXPECT_NO_THROW(TrainingRun(plan(5, asked(5)), counter, std::nullopt, observer_));
}

TEST_F(TrainingRunTest, SaysWhichSettingsHaveChanged) {
  Counter counter;
  const auto job = [](int64_t every) {
    return Json{{"job", {{"a", 1}, {"checkpoint", {{"every", every}}}}}};
  };
  TrainingRun(plan(4, job(3)), counter, std::nullopt, observer_).run();
  std::vector<std::string> said;
  observer_.message = [&](const std::string& line) { said.push_back(line); };
  TrainingRun(plan(4, job(5)), counter, std::nullopt, observer_);
  ASSERT_EQ(said.size(), 2u);
  EXPECT_EQ(said[0], "settings have changed since checkpoint-4: /checkpoint/every from 3 to 5");
  TrainingRun(plan(4, job(3)), counter, std::nullopt, observer_);
  EXPECT_EQ(said.size(), 3u);
}

// Evaluations every 2 iterations that rise to step 4 and fall from there: patience 2 ends it at 8 of 20.
class EarlyStopTest : public TrainingRunTest {
 protected:
  static double score(int64_t step) {
    return step <= 4 ? static_cast<double>(step) : 8.0 - static_cast<double>(step);
  }
  RunPlan early(int64_t patience = 2, int64_t iterations = 20) const {
    auto p = plan(iterations);
    p.evaluate_every = 2;
    if (patience > 0) p.early_stop = EarlyStop({true, patience, 0.0}, "reward", 2);
    return p;
  }
  static std::unique_ptr<Counter> counter() {
    auto c = std::make_unique<Counter>();
    c->score = score;
    return c;
  }
  std::vector<std::string> said_;
  Observer listening() {
    Observer o;
    o.message = [this](const std::string& line) { said_.push_back(line); };
    return o;
  }
  bool was_said(const std::string& part) const {
    return std::any_of(said_.begin(), said_.end(),
                       [&](const auto& s) { return s.find(part) != std::string::npos; });
  }
};

TEST_F(EarlyStopTest, EndsTheRunAndKeepsTheBest) {
  auto c = counter();
  const auto observer = listening();
  TrainingRun run(early(), *c, std::nullopt, observer);
  EXPECT_EQ(run.ended_early(), "");
  run.run();
  EXPECT_EQ(run.progress().next, 8);
  EXPECT_EQ(run.progress().best_step, 4);
  EXPECT_EQ(checkpoints(), (std::set<int64_t>{4, 6, 8}));
  EXPECT_NE(run.ended_early().find("in 2 held-out evaluations"), std::string::npos);
  EXPECT_TRUE(was_said("early stop after iteration 8"));
  const auto event = rows("events.jsonl").back();
  EXPECT_EQ(event.at("type"), "early_stop");
  EXPECT_EQ(event.at("step"), 8);
  EXPECT_EQ(event.at("data").at("best_step"), 4);
}

TEST_F(EarlyStopTest, EndsWhereItWouldHaveAfterAStop) {
  auto whole = counter();
  TrainingRun(early(), *whole, std::nullopt, observer_).run();
  const auto expected = rows().size(), events = rows("events.jsonl").size();
  for (int64_t stop = 1; stop < 8; ++stop) {
    std::filesystem::remove_all(folder_);
    auto first = counter(), second = counter();
    Observer stopping = observer_;
    stopping.stop_requested = [&] { return static_cast<int64_t>(first->iterations.size()) == stop; };
    TrainingRun stopped(early(), *first, std::nullopt, stopping);
    EXPECT_THROW(stopped.run(), Stopped);
    TrainingRun resumed(early(), *second, std::nullopt, observer_);
    resumed.run();
    EXPECT_EQ(resumed.progress().next, 8) << stop;
    EXPECT_EQ(resumed.progress().best_step, 4);
    EXPECT_EQ(second->x, whole->x);
    EXPECT_EQ(rows().size(), expected);
    EXPECT_EQ(rows("events.jsonl").size(), events);
  }
}

// As a run that was asked for as many from the start; it says what would make it go on.
TEST_F(EarlyStopTest, MoreIterationsDoNotUndoIt) {
  auto first = counter(), second = counter();
  const auto observer = listening();
  TrainingRun(early(2, 10), *first, std::nullopt, observer).run();
  EXPECT_FALSE(was_said("it goes on"));
  TrainingRun more(early(2, 40), *second, std::nullopt, observer);
  EXPECT_TRUE(was_said("this run has ended after iteration 8, and more /iterations do not change that"));
  EXPECT_TRUE(was_said("/evaluate/early_stop/patience"));
  more.run();
  EXPECT_TRUE(second->iterations.empty());
  EXPECT_EQ(more.progress().next, 8);
}

TEST_F(EarlyStopTest, MorePatienceOrNoneOfItGoesOn) {
  for (const int64_t patience : {3, 0}) {
    std::filesystem::remove_all(folder_);
    auto whole = counter(), first = counter(), second = counter();
    TrainingRun(early(patience, 12), *whole, std::nullopt, observer_).run();
    const auto expected = steps_of("eval");
    std::filesystem::remove_all(folder_);
    TrainingRun(early(2, 12), *first, std::nullopt, observer_).run();
    TrainingRun more(early(patience, 12), *second, std::nullopt, observer_);
    more.run();
    EXPECT_EQ(more.progress().next, patience == 3 ? 10 : 12);
    EXPECT_EQ(second->x, whole->x);
    EXPECT_EQ(steps_of("eval"), expected);
  }
}

// An evaluation at an end that was not the end has no part in it: 3 here, and 4 and 6 from there on.
TEST_F(EarlyStopTest, TheEvaluationAtAnOldEndDoesNotCount) {
  auto first = counter(), second = counter();
  first->score = second->score = [](int64_t step) { return step == 3 ? 100.0 : score(step); };
  TrainingRun(early(2, 3), *first, std::nullopt, observer_).run();
  TrainingRun more(early(2, 20), *second, std::nullopt, observer_);
  more.run();
  EXPECT_EQ(more.progress().next, 8);
  EXPECT_EQ(more.progress().best_step, 3);
}

class SelfCheckTest : public TrainingRunTest {
 protected:
  RunPlan checked(int64_t iterations = 10) const {
    auto p = plan(iterations);
    p.self_check = SelfCheckFacts{.samples = 4};
    return p;
  }
  std::vector<int64_t> steps() const {
    std::vector<int64_t> found;
    for (const auto& row : rows("events.jsonl"))
      if (row.at("type") == "self_check") found.push_back(row.at("step").get<int64_t>());
    return found;
  }
};

TEST_F(SelfCheckTest, IsSaidOnceWhereverTheRunIsStopped) {
  for (int64_t stop = 1; stop < 6; ++stop) {
    std::filesystem::remove_all(folder_);
    Counter first, second;
    int64_t said = 0;
    Observer stopping = observer_;
    stopping.message = [&](const std::string& line) { said += line.find("self-check") != std::string::npos; };
    auto going_on = stopping;
    stopping.stop_requested = [&] { return static_cast<int64_t>(first.iterations.size()) == stop; };
    TrainingRun stopped(checked(), first, std::nullopt, stopping);
    EXPECT_THROW(stopped.run(), Stopped);
    TrainingRun(checked(), second, std::nullopt, going_on).run();
    EXPECT_EQ(steps(), (std::vector<int64_t>{2})) << stop;
    EXPECT_EQ(said, 1) << stop;
  }
}

TEST_F(SelfCheckTest, OfOneIterationIsSaidAtItsEnd) {
  Counter first, second;
  TrainingRun(checked(1), first, std::nullopt, observer_).run();
  EXPECT_EQ(steps(), (std::vector<int64_t>{1}));
  TrainingRun(checked(4), second, std::nullopt, observer_).run();
  EXPECT_EQ(steps(), (std::vector<int64_t>{1}));
}

// What is shown to the end may differ from run to run; what is kept may not, but for what is named time_*.
TEST_F(SelfCheckTest, KeepsNoTimeInItsText) {
  Counter counter;
  std::vector<std::string> said;
  observer_.message = [&](const std::string& line) { said.push_back(line); };
  TrainingRun(checked(), counter, std::nullopt, observer_).run();
  const auto event = rows("events.jsonl").back();
  EXPECT_GE(event.at("data").at("time_left_s").get<double>(), 0.0);
  const auto text = event.at("message").get<std::string>();
  EXPECT_EQ(text.find("to the end"), std::string::npos);
  EXPECT_TRUE(std::any_of(said.begin(), said.end(), [&](const auto& line) {
    return line.find(text) != std::string::npos && line.find(" to the end") != std::string::npos;
  }));
}

TEST_F(TrainingRunTest, WhatEndedAnEvaluationIsOnRecord) {
  Counter counter;
  counter.no_value_at = 0;
  EXPECT_THROW(TrainingRun(plan(), counter, std::nullopt, observer_).run(), Error);
  EXPECT_EQ(rows("events.jsonl").back().at("type"), "no_value");
}

TEST_F(TrainingRunTest, TellsOfEverySave) {
  Counter counter;
  TrainingRun(plan(), counter, std::nullopt, observer_).run();
  EXPECT_EQ(counter.saves, 6);  // 3, 4 (best), 6, 8 (best), 9, 10
}

}  // namespace
}  // namespace thalweg
