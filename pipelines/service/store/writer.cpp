#include "pipelines/service/store/writer.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>

#include "pipelines/service/store/tables.h"

namespace thalweg::service {

namespace asio = boost::asio;

Writer::Writer(const std::filesystem::path& path, asio::io_context& answers)
    : answers_(answers), database_(path, /*read_only=*/false) {
  make_tables(database_);
  thread_ = std::thread([this] { loop(); });
}

Writer::~Writer() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  waiting_.notify_one();
  thread_.join();
}

void Writer::write(Work work, Done done) {
  {
    const std::lock_guard lock(mutex_);
    changes_.push_back({std::move(work), std::move(done)});
  }
  waiting_.notify_one();
}

asio::awaitable<void> Writer::write(Work work) {
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(
      [this](auto&& handler, Work change) {
        auto kept =
            std::make_shared<std::decay_t<decltype(handler)>>(std::forward<decltype(handler)>(handler));
        write(std::move(change), [kept](std::exception_ptr failure) { (*kept)(failure); });
      },
      asio::use_awaitable, std::move(work));
}

void Writer::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    waiting_.wait(lock, [this] { return ends_ || !changes_.empty(); });
    if (changes_.empty()) return;
    auto changes = std::exchange(changes_, {});
    lock.unlock();
    commit(changes);
    asio::post(answers_, [changes = std::move(changes)]() mutable {
      for (auto& change : changes)
        if (change.done) change.done(change.failure);
    });
    lock.lock();
  }
}

/// One transaction; what one change throws undoes that change alone.
void Writer::commit(std::vector<Change>& changes) {
  try {
    database_.run("BEGIN IMMEDIATE");
    for (auto& change : changes) {
      database_.run("SAVEPOINT change");
      try {
        change.work(database_);
      } catch (...) {
        change.failure = std::current_exception();
        database_.run("ROLLBACK TO change");
      }
      database_.run("RELEASE change");
    }
    database_.run("COMMIT");
  } catch (...) {
    for (auto& change : changes)
      if (!change.failure) change.failure = std::current_exception();
    try {
      database_.run("ROLLBACK");
    } catch (const std::exception&) {  // a full disk may have ended it already
    }
  }
}

}  // namespace thalweg::service
