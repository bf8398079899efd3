#include "pipelines/service/jobs/run.h"

#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "pipelines/service/jobs/changes.h"
#include "pipelines/service/jobs/inputs.h"

namespace thalweg::service {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kLook{500};
constexpr int64_t kLastEvents = 200;

/// Places of this machine are no client's affair.
std::string without(std::string text, const std::string& place) {
  for (auto at = text.find(place); at != std::string::npos; at = text.find(place))
    text.erase(at, place.size());
  return text;
}

MetricsFollower::Seen told_metrics(Database& database, const std::string& job) {
  MetricsFollower::Seen seen;
  for (const auto& event : events_before(database, job, 0, kLastEvents))
    if (event.type == "metrics" && event.data.is_object())
      seen.try_emplace(event.data.value("kind", ""), event.data.value("step", int64_t{-1}));
  return seen;
}

/// Of one that has ended by then it is nothing.
asio::awaitable<void> kill_later(asio::io_context& context, std::shared_ptr<Child> child,
                                 std::chrono::milliseconds after) {
  asio::steady_timer timer(context, after);
  co_await timer.async_wait(asio::use_awaitable);
  child->signal(SIGKILL);
}

}  // namespace

Run::Run(asio::io_context& context, Store& store, const std::string& job)
    : context_(context),
      store_(store),
      job_(job),
      folder_(store.run_folder(job)),
      metrics_(folder_, told_metrics(store.read(), job)),
      events_(folder_ / "events.jsonl") {}

asio::awaitable<RunEnd> Run::until_end(JobRow row, ChildCommand command, const bool& stop,
                                       std::chrono::milliseconds grace) {
  const auto file = folder_.parent_path() / "job.json";
  fs::create_directories(folder_);
  write_synced(file, with_inputs(row.job, store_, folder_.parent_path() / "inputs").dump(2) + "\n");
  for (const std::string word : {"run", file.c_str(), "--output", folder_.c_str(), "--progress", "json"})
    command.words.push_back(word);
  command.log = folder_.parent_path() / "log.txt";
  command.environment.emplace_back("THALWEG_RESTART_COUNT", std::to_string(row.attempts - 1));
  child_ = std::make_shared<Child>(context_, command);
  const auto change = runs_as(child_->id(), start_of_process(child_->id()));
  row = co_await store_.change(job_, change);
  if (row.wish != Wish::none || stop) this->stop(row.wish == Wish::none ? Wish::pause : row.wish, grace);
  auto next_look = Clock::now() + kLook;
  Store::Events events;
  for (auto line = co_await child_->line(); line; line = co_await child_->line()) {
    hear(*line, events);
    if (Clock::now() < next_look) continue;
    co_await store_.tell(std::exchange(events, {}));
    co_await look();
    next_look = Clock::now() + kLook;
  }
  co_await store_.tell(std::exchange(events, {}));
  RunEnd end;
  end.code = co_await child_->end();
  co_await look();
  end.said = last_word_;
  end.result = store_.run_result(job_);
  co_return end;
}

/// A line of the run: what is done, or a message, or its last word.
void Run::hear(const std::string& line, Store::Events& events) {
  Json said;
  try {
    said = parse_json(line, "the run");
  } catch (const Error&) {
    return;  // a library printed it
  }
  const auto type = said.is_object() ? said.value("type", "") : "";
  if (type == "progress") {
    progress_ = {{"phase", said.value("phase", "")},
                 {"done", said.value("done", int64_t{0})},
                 {"total", said.value("total", int64_t{0})},
                 {"values", said.value("values", Json::object())}};
    store_.bell().ring(job_);
  } else if (type == "message") {
    const auto text = without(said.value("text", ""), folder_.string() + "/");
    events.push_back({.job = job_, .level = text.starts_with("warn") ? "warn" : "info", .message = text});
  } else if (type == "end") {
    last_word_ = said;
  }
}

/// What it wrote since the last look.
asio::awaitable<void> Run::look() {
  Store::Events news;
  for (auto& metrics : metrics_.next()) {
    const auto kind = metrics.value("kind", "");
    news.push_back({.job = job_,
                    .type = "metrics",
                    .message = kind + " " + std::to_string(metrics.value("step", int64_t{0}))});
    news.back().data = std::move(metrics);
  }
  for (const auto& line : events_.next()) {
    if (!told_.insert(line).second) continue;
    try {
      const auto event = parse_json(line, "events.jsonl");
      news.push_back({.job = job_,
                      .level = event.value("level", "info"),
                      .type = event.value("type", "message"),
                      .message = event.value("message", ""),
                      .data = event.value("data", Json())});
    } catch (const std::exception&) {  // cut short
    }
  }
  co_await store_.tell(std::move(news));
}

void Run::stop(Wish wish, std::chrono::milliseconds grace) {
  // A second signal ends a run at once: right for who cancels, and for nobody else.
  if (!child_ || asked_ == Wish::cancel || asked_ == wish) return;
  asked_ = wish;
  child_->signal(SIGTERM);
  asio::co_spawn(context_, kill_later(context_, child_, grace), asio::detached);
}

}  // namespace thalweg::service
