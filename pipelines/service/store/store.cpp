#include "pipelines/service/store/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "pipelines/service/http/message.h"
#include "pipelines/service/store/manifest.h"

namespace thalweg::service {

namespace fs = std::filesystem;

namespace {

fs::path made(fs::path folder) {
  std::error_code code;
  for (const auto* part : {"", "jobs", "files", "plugins", "uploads"}) {
    fs::create_directories(folder / part, code);
    if (code) throw_io_error(folder / part, "cannot be made", code.value());
  }
  fs::permissions(folder, fs::perms::owner_all, code);
  for (const auto& left : fs::directory_iterator(folder / "uploads")) fs::remove_all(left, code);
  return fs::absolute(folder);
}

std::string this_host() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

}  // namespace

int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Descriptor lock_store(const fs::path& folder) {
  const auto path = folder / "lock";
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0) throw_io_error(path, "cannot be opened", errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    throw Error(folder, "a server has this store: " + printable(read_file(path, 4096), 200));
  const auto text = "process " + std::to_string(::getpid()) + " on " + this_host();
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), text.data(), text.size(), 0) < 0)
    throw_io_error(path, "cannot be written", errno);
  return lock;
}

std::string new_id(const std::string& prefix) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<unsigned char, 24> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw_io_error("/dev/urandom", "cannot be read", errno);
  std::string id = prefix;
  for (const auto byte : bytes) id += kLetters[byte % kLetters.size()];
  return id;
}

Store::Store(fs::path folder, boost::asio::io_context& context)
    : folder_(made(std::move(folder))),
      lock_(lock_store(folder_)),
      writer_(folder_ / kStoreFile, context),
      reader_(folder_ / kStoreFile, /*read_only=*/true),
      bell_(context) {}

JobRow Store::job(const std::string& id) {
  auto row = find_job(reader_, id);
  if (!row) throw ApiError(404, "no_such_job", "there is no job \"" + id + "\"", "id");
  return *std::move(row);
}

std::optional<fs::path> Store::loaded_plugin(const std::string& name) const {
  const auto path = plugins() / name / (name + ".so");
  std::error_code none;
  if (name.empty() || name.find_first_of("/.") != std::string::npos || !fs::is_regular_file(path, none))
    return std::nullopt;
  return path;
}

Json Store::run_result(const std::string& id) const {
  try {
    return parse_json_file(run_folder(id) / "result.json");
  } catch (const Error&) {
    return {};
  }
}

std::optional<int64_t> Store::queue_position(const JobRow& row) {
  if (positions_at_ != bell_.rings()) {
    positions_.clear();
    for (const auto lane : {Lane::batch, Lane::interactive}) {
      int64_t position = 0;
      for (auto& id : queue_of(reader_, lane)) positions_[std::move(id)] = position++;
    }
    positions_at_ = bell_.rings();
  }
  const auto found = positions_.find(row.id);
  if (row.state != State::queued || found == positions_.end()) return std::nullopt;
  return found->second;
}

boost::asio::awaitable<JobRow> Store::change(std::string id, Change change) {
  auto changed = std::make_shared<JobRow>();
  const Writer::Work work = [this, id, change = std::move(change), changed](Database& database) {
    auto row = find_job(database, id);
    if (!row) throw ApiError(404, "no_such_job", "there is no job \"" + id + "\"", "id");
    const auto before = row->state;
    Events events;
    change(*row, events);
    if (row->state != before) {
      if (!may_follow(before, row->state))
        throw ApiError(409, "wrong_state",
                       "the job is " + name_of(before) + ", and cannot become " + name_of(row->state));
      if (is_over(row->state)) row->finished_at = now();
    }
    update_job(database, *row);
    if (row->state != before) keep_manifest(job_folder(id), *row);
    for (auto& event : events) {
      event.job = id;
      event.created_at = now();
      insert_event(database, event);
    }
    *changed = *std::move(row);
  };
  co_await writer_.write(work);
  bell_.ring(id);
  co_return *changed;
}

boost::asio::awaitable<void> Store::tell(Events events) {
  if (events.empty()) co_return;
  const auto kept = std::make_shared<Events>(std::move(events));
  const Writer::Work work = [kept](Database& database) {
    for (auto& event : *kept) {
      event.created_at = now();
      insert_event(database, event);
    }
  };
  co_await writer_.write(work);
  for (const auto& event : *kept) bell_.ring(event.job);
}

}  // namespace thalweg::service
