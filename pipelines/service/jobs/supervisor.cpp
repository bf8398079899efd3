#include "pipelines/service/jobs/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "engine/core/descriptor.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "pipelines/service/http/message.h"
#include "pipelines/service/jobs/changes.h"
#include "pipelines/service/jobs/follower.h"
#include "pipelines/service/jobs/inputs.h"

namespace thalweg::service {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kLook{500}, kCancelGrace{1000}, kShortPause{50};
constexpr uint64_t kLeastSpace = uint64_t{64} << 20;

asio::awaitable<void> pause_for(asio::io_context& context, Clock::duration time) {
  asio::steady_timer timer(context, time);
  co_await timer.async_wait(asio::use_awaitable);
}

bool is_full(const fs::path& folder) {
  struct statvfs disk {};
  return ::statvfs(folder.c_str(), &disk) == 0 && uint64_t{disk.f_bavail} * disk.f_frsize < kLeastSpace;
}

/// Whether no run holds it.
bool is_free(const fs::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return descriptor.get() < 0 || ::flock(descriptor.get(), LOCK_EX | LOCK_NB) == 0;
}

Json json_or_null(const fs::path& file) {
  try {
    return parse_json_file(file);
  } catch (const Error&) {
    return {};
  }
}

/// Places of this machine are no client's affair.
std::string without(std::string text, const std::string& place) {
  for (auto at = text.find(place); at != std::string::npos; at = text.find(place))
    text.erase(at, place.size());
  return text;
}

MetricsFollower::Seen told_metrics(Database& database, const std::string& job) {
  MetricsFollower::Seen seen;
  for (const auto& event : events_before(database, job, 0, 200))
    if (event.type == "metrics" && event.data.is_object())
      seen.try_emplace(event.data.value("kind", ""), event.data.value("step", int64_t{-1}));
  return seen;
}

}  // namespace

/// A run that is under way.
struct Supervisor::Live {
  Live(MetricsFollower rows, const fs::path& folder)
      : metrics(std::move(rows)), events(folder / "events.jsonl") {}

  std::unique_ptr<Child> child;
  MetricsFollower metrics;
  LineFollower events;
  std::set<std::string> told;  // of events, which a run that goes on may have again
  Json progress, last_word;
  Wish wish = Wish::none;
  bool ended = false;
};

Supervisor::Supervisor(asio::io_context& context, Store& store, SupervisorOptions options)
    : context_(context), store_(store), options_(std::move(options)) {}

Supervisor::~Supervisor() = default;

asio::awaitable<void> Supervisor::start() {
  for (const auto& row : find_jobs(store_.read(), {.states = {State::running}, .limit = INT64_MAX})) {
    const auto change = taken_up();
    co_await store_.change(row.id, change);
  }
  asio::co_spawn(context_, keep_looking(), asio::detached);
  wake();
}

void Supervisor::wake() {
  asio::post(context_, [this] { fill_slots(); });
}

void Supervisor::fill_slots() {
  if (stopping_ || running() >= options_.workers) return;
  JobFilter next{.states = {State::queued},
                 .limit = options_.workers + static_cast<int64_t>(not_before_.size()),
                 .in_queue_order = true};
  for (auto& row : find_jobs(store_.read(), next)) {
    if (running() >= options_.workers) return;
    const auto wait = not_before_.find(row.id);
    if (live_.contains(row.id) || (wait != not_before_.end() && wait->second > Clock::now())) continue;
    MetricsFollower rows(store_.run_folder(row.id), told_metrics(store_.read(), row.id));
    live_[row.id] = std::make_unique<Live>(std::move(rows), store_.run_folder(row.id));
    asio::co_spawn(context_, run(std::move(row)), asio::detached);
  }
}

asio::awaitable<void> Supervisor::run(JobRow row) {
  const auto id = row.id;
  auto& live = *live_.at(id);
  std::string failure;
  try {
    co_await wait_for_folder(row);
    const auto change = begun();
    row = co_await store_.change(id, change);
    co_await watch(row, live);
  } catch (const ApiError&) {  // it was paused or cancelled meanwhile
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (!failure.empty()) {
    not_before_[id] = Clock::now() + std::chrono::seconds(5);
    try {
      const auto change = failed_to_run(failure);
      co_await store_.change(id, change);
    } catch (const std::exception&) {  // a full disk; it stays "running" until it is looked at again
    }
  }
  live_.erase(id);
  fill_slots();
}

/// What an earlier server's run of this job leaves: it was asked to stop when that server died.
asio::awaitable<void> Supervisor::wait_for_folder(const JobRow& row) {
  const auto kill_at = Clock::now() + options_.grace;
  const auto folder = store_.run_folder(row.id);
  while (!is_free(folder) || (row.process && row.process_start &&
                              start_of_process(static_cast<pid_t>(*row.process)) == row.process_start)) {
    const bool is_same =
        row.process && start_of_process(static_cast<pid_t>(*row.process)) == row.process_start;
    if (Clock::now() > kill_at && is_same) ::kill(static_cast<pid_t>(*row.process), SIGKILL);
    co_await pause_for(context_, kShortPause);
  }
}

asio::awaitable<void> Supervisor::watch(JobRow row, Live& live) {
  const auto folder = store_.job_folder(row.id);
  fs::create_directories(folder / "run");
  write_synced(folder / "job.json", with_inputs(row.job, store_, row.id).dump(2) + "\n");
  ChildCommand command{.words = {options_.program, "run", folder / "job.json", "--output", folder / "run",
                                 "--progress", "json"},
                       .folder = options_.root,
                       .log = folder / "log.txt",
                       .environment = {{"THALWEG_RESTART_COUNT", std::to_string(row.attempts - 1)}}};
  live.child = std::make_unique<Child>(context_, command);
  const auto process = live.child->id();
  const auto change = runs_as(process, start_of_process(process));
  row = co_await store_.change(row.id, change);
  live.wish = row.wish;
  if (live.wish != Wish::none || stopping_) live.child->signal(SIGTERM);
  auto next_look = Clock::now() + kLook;
  Store::Events events;
  for (auto line = co_await live.child->line(); line; line = co_await live.child->line()) {
    hear(row, live, *line, events);
    if (Clock::now() < next_look) continue;
    co_await store_.tell(std::exchange(events, {}));
    co_await follow(row, live);
    next_look = Clock::now() + kLook;
  }
  co_await store_.tell(std::exchange(events, {}));
  const int code = co_await live.child->end();
  live.ended = true;
  co_await follow(row, live);
  co_await conclude(row, live, code);
}

/// A line of the run: what is done, or a message, or its last word.
void Supervisor::hear(const JobRow& row, Live& live, const std::string& line, Store::Events& events) {
  Json said;
  try {
    said = parse_json(line, "the run");
  } catch (const Error&) {
    return;  // a library printed it
  }
  const auto type = said.is_object() ? said.value("type", "") : "";
  if (type == "progress") {
    live.progress = {{"phase", said.value("phase", "")},
                     {"done", said.value("done", int64_t{0})},
                     {"total", said.value("total", int64_t{0})},
                     {"values", said.value("values", Json::object())}};
    store_.bell().ring(row.id);
  } else if (type == "message") {
    const auto text = without(said.value("text", ""), store_.run_folder(row.id).string() + "/");
    events.push_back({.job = row.id, .level = text.starts_with("warn") ? "warn" : "info", .message = text});
  } else if (type == "end") {
    live.last_word = said;
  }
}

/// What it wrote since the last look.
asio::awaitable<void> Supervisor::follow(const JobRow& row, Live& live) {
  Store::Events news;
  for (auto& metrics : live.metrics.next()) {
    const auto kind = metrics.value("kind", "");
    news.push_back({.job = row.id,
                    .type = "metrics",
                    .message = kind + " " + std::to_string(metrics.value("step", int64_t{0}))});
    news.back().data = std::move(metrics);
  }
  for (const auto& line : live.events.next()) {
    if (!live.told.insert(line).second) continue;
    try {
      const auto event = parse_json(line, "events.jsonl");
      news.push_back({.job = row.id,
                      .level = event.value("level", "info"),
                      .type = event.value("type", "message"),
                      .message = event.value("message", ""),
                      .data = event.value("data", Json())});
    } catch (const std::exception&) {  // cut short
    }
  }
  co_await store_.tell(std::move(news));
}

asio::awaitable<void> Supervisor::conclude(const JobRow& row, const Live& live, int code) {
  RunEnd end;
  end.code = code;
  end.said = live.last_word;
  end.result = json_or_null(store_.run_folder(row.id) / "result.json");
  end.stopping = stopping_;
  end.disk_full = is_full(store_.folder());
  const auto change = ended(std::move(end), options_.faults);
  const auto done = co_await store_.change(row.id, change);
  if (done.state == State::queued && done.faults > 0)
    not_before_[row.id] = Clock::now() + std::chrono::seconds(1 << (2 * (done.faults - 1)));
}

asio::awaitable<JobRow> Supervisor::wish(std::string id, Wish wanted) {
  const auto change = wished(wanted);
  auto row = co_await store_.change(id, change);
  const auto live = live_.find(id);
  if (row.state == State::running && live != live_.end() && live->second->child &&
      live->second->wish != row.wish) {
    live->second->wish = row.wish;
    live->second->child->signal(SIGTERM);
    const auto after = wanted == Wish::cancel ? kCancelGrace : milliseconds(options_.grace);
    asio::co_spawn(context_, kill_later(id, after), asio::detached);
  }
  co_return row;
}

asio::awaitable<JobRow> Supervisor::pause(const std::string& id) {
  co_return co_await wish(id, Wish::pause);
}

asio::awaitable<JobRow> Supervisor::cancel(const std::string& id) {
  co_return co_await wish(id, Wish::cancel);
}

asio::awaitable<JobRow> Supervisor::resume(const std::string& id) {
  const auto change = queued_again();
  auto row = co_await store_.change(id, change);
  not_before_.erase(id);
  wake();
  co_return row;
}

asio::awaitable<void> Supervisor::kill_later(std::string id, milliseconds after) {
  const auto found = live_.find(id);
  const auto process = found->second->child->id();
  co_await pause_for(context_, after);
  const auto again = live_.find(id);
  if (again == live_.end() || !again->second->child || again->second->ended ||
      again->second->child->id() != process)
    co_return;
  again->second->child->signal(SIGKILL);
}

/// Jobs that waited for space on the disk, and those that wait for their next try.
asio::awaitable<void> Supervisor::keep_looking() {
  for (;;) {
    co_await pause_for(context_, std::chrono::seconds(1));
    if (stopping_) co_return;
    try {
      if (!is_full(store_.folder()))
        for (const auto& row : find_jobs(store_.read(), {.states = {State::paused}, .limit = 1000}))
          if (row.error.is_object() && row.error.value("code", "") == "disk_full") co_await resume(row.id);
    } catch (
        const std::exception&) {  // paused by hand meanwhile, or the store cannot be written: the next look
    }
    fill_slots();
  }
}

Json Supervisor::progress(const std::string& id) const {
  const auto found = live_.find(id);
  return found == live_.end() ? Json() : found->second->progress;
}

asio::awaitable<void> Supervisor::stop() {
  stopping_ = true;
  for (const auto& [id, live] : live_)
    if (live->child) live->child->signal(SIGTERM);
  const auto kill_at = Clock::now() + options_.grace;
  while (!live_.empty()) {
    if (Clock::now() > kill_at)
      for (const auto& [id, live] : live_)
        if (live->child) live->child->signal(SIGKILL);
    co_await pause_for(context_, kShortPause);
  }
}

}  // namespace thalweg::service
