#include "pipelines/service/jobs/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>
#include <utility>

#include "engine/core/descriptor.h"
#include "engine/core/error.h"
#include "pipelines/service/http/message.h"
#include "pipelines/service/jobs/changes.h"

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

}  // namespace

Supervisor::Supervisor(asio::io_context& context, Store& store, SupervisorOptions options)
    : context_(context), store_(store), options_(std::move(options)) {}

Supervisor::~Supervisor() = default;

asio::awaitable<void> Supervisor::start() {
  co_await take_up();
  asio::co_spawn(context_, keep_looking(), asio::detached);
  wake();
}

/// Jobs that are said to run, and do not: an earlier server's, or one whose end could not be written.
asio::awaitable<void> Supervisor::take_up() {
  const auto rows = find_jobs(store_.read(), {.states = {State::running}, .limit = INT64_MAX});
  for (const auto& row : rows) {
    if (live_.contains(row.id)) continue;
    const auto change = taken_up();
    co_await store_.change(row.id, change);
  }
}

void Supervisor::wake() {
  asio::post(context_, [this] { fill_slots(); });
}

void Supervisor::fill_slots() {
  if (stopping_) return;
  fill(Lane::batch, options_.workers);
  fill(Lane::interactive, options_.interactive);
}

void Supervisor::fill(Lane lane, int64_t slots) {
  std::set<int64_t> free;
  for (int64_t slot = 0; slot < slots; ++slot) free.insert(slot);
  for (const auto& [id, live] : live_)
    if (live.lane == lane) free.erase(live.slot);
  if (free.empty()) return;
  // Those that wait for their next try, or for their folder, may stand in front.
  const auto most = static_cast<int64_t>(free.size() + not_before_.size() + live_.size());
  const auto rows = find_jobs(
      store_.read(), {.states = {State::queued}, .lane = lane, .limit = most, .in_queue_order = true});
  for (const auto& row : rows) {
    const auto wait = not_before_.find(row.id);
    if (live_.contains(row.id) || (wait != not_before_.end() && wait->second > Clock::now())) continue;
    live_[row.id] = {lane, free.extract(free.begin()).value(),
                     std::make_unique<Run>(context_, store_, row.id)};
    asio::co_spawn(context_, work(row), asio::detached);
    if (free.empty()) return;
  }
}

/// Thalweg, with its share of the machine.
ChildCommand Supervisor::command_of(const std::string& id) const {
  ChildCommand command{.words = {options_.program}, .folder = options_.root};
  const auto& live = live_.at(id);
  const auto slot = static_cast<size_t>(live.slot);
  if (live.lane != Lane::batch || slot >= options_.shares.size()) return command;
  command.cores = options_.shares[slot].cores;
  if (const auto& gpu = options_.shares[slot].gpu; !gpu.empty())
    command.environment.emplace_back("CUDA_VISIBLE_DEVICES", gpu);
  return command;
}

asio::awaitable<void> Supervisor::work(JobRow row) {
  const auto id = row.id;
  auto& run = *live_.at(id).run;
  std::string failure;
  not_before_.erase(id);
  try {
    co_await wait_for_folder(row);
    if (co_await begin(row)) {
      auto end = co_await run.until_end(std::move(row), command_of(id), stopping_, options_.grace);
      co_await conclude(id, std::move(end));
    }
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (!failure.empty()) {
    not_before_[id] = Clock::now() + std::chrono::seconds(5);
    try {
      const auto change = failed_to_run(failure, options_.faults);
      co_await store_.change(id, change);
    } catch (const std::exception&) {  // a full disk: it is taken up once there is space
    }
  }
  live_.erase(id);
  fill_slots();
}

/// False: it was paused or cancelled meanwhile.
asio::awaitable<bool> Supervisor::begin(JobRow& row) {
  try {
    const auto change = begun();
    row = co_await store_.change(row.id, change);
    co_return true;
  } catch (const ApiError&) {
    co_return false;
  }
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

asio::awaitable<void> Supervisor::conclude(const std::string& id, RunEnd end) {
  end.stopping = stopping_;
  end.disk_full = is_full(store_.folder());
  const auto change = ended(std::move(end), options_.faults);
  const auto done = co_await store_.change(id, change);
  if (done.state == State::queued && done.faults > 0)
    not_before_[id] = Clock::now() + std::chrono::seconds(1 << (2 * (done.faults - 1)));
}

asio::awaitable<JobRow> Supervisor::wish(std::string id, Wish wanted) {
  const auto change = wished(wanted);
  auto row = co_await store_.change(id, change);
  const auto live = live_.find(id);
  if (row.state == State::running && row.wish == wanted && live != live_.end())
    live->second.run->stop(wanted, wanted == Wish::cancel ? kCancelGrace : milliseconds(options_.grace));
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

/// Jobs that waited for space on the disk, and those that wait for their next try.
asio::awaitable<void> Supervisor::keep_looking() {
  for (;;) {
    co_await pause_for(context_, std::chrono::seconds(1));
    if (stopping_) co_return;
    try {
      if (is_full(store_.folder())) continue;
      co_await take_up();
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
  return found == live_.end() ? Json() : found->second.run->progress();
}

asio::awaitable<void> Supervisor::stop() {
  stopping_ = true;
  for (const auto& [id, live] : live_) live.run->stop(Wish::pause, options_.grace);
  while (!live_.empty()) co_await pause_for(context_, kShortPause);
}

}  // namespace thalweg::service
