// The store: what is written together, what one change undoes, what a store of another kind is told.
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/scratch_folder.h"
#include "pipelines/service/store/tables.h"
#include "pipelines/service/store/writer.h"

namespace thalweg::service {
namespace {

namespace fs = std::filesystem;

JobRow job(const std::string& id, int64_t priority = 0) {
  return {.id = id,
          .priority = priority,
          .created_at = 1,
          .job = {{"job", "sample"}},
          .metadata = Json::object()};
}

std::vector<std::string> ids(const std::vector<JobRow>& rows) {
  std::vector<std::string> found;
  for (const auto& row : rows) found.push_back(row.id);
  return found;
}

struct StoreTest : testing::Test {
  StoreTest() : folder("thalweg-store-test"), file(folder.path() / "store.sqlite") {}
  ScratchFolder folder;
  fs::path file;
  boost::asio::io_context context;
};

TEST_F(StoreTest, AChangeThatThrowsUndoesItselfAlone) {
  std::vector<std::string> answers;
  {
    Writer writer(file, context);
    const auto note = [&](const std::string& name) {
      return [&answers, name](std::exception_ptr failure) {
        answers.push_back(name + (failure ? " failed" : ""));
      };
    };
    writer.write([](Database& d) { insert_job(d, job("a")); }, note("a"));
    writer.write(
        [](Database& d) {
          insert_job(d, job("b"));
          throw std::runtime_error("no");
        },
        note("b"));
    writer.write([](Database& d) { insert_job(d, job("a")); }, note("again"));
    writer.write([](Database& d) { insert_job(d, job("c")); }, note("c"));
  }
  context.run();
  EXPECT_EQ(answers, (std::vector<std::string>{"a", "b failed", "again failed", "c"}));
  Database reader(file, true);
  EXPECT_EQ(ids(find_jobs(reader, {})), (std::vector<std::string>{"c", "a"}));
}

TEST_F(StoreTest, JobsComeBackAsTheyWere) {
  Database database(file, false);
  make_tables(database);
  auto row = job("a", -3);
  row.state = State::paused;
  row.wish = Wish::cancel;
  row.started_at = 5;
  row.error = {{"code", "disk_full"}};
  row.request = {{"model", "m"}};
  row.metadata = {{"n", "1"}};
  row.process = 7;
  insert_job(database, row);
  const auto found = find_job(database, "a").value();
  EXPECT_EQ(found.state, State::paused);
  EXPECT_EQ(found.wish, Wish::cancel);
  EXPECT_EQ(found.priority, -3);
  EXPECT_EQ(found.started_at, 5);
  EXPECT_EQ(found.finished_at, std::nullopt);
  EXPECT_EQ(found.error, row.error);
  EXPECT_EQ(found.request, row.request);
  EXPECT_EQ(found.job, row.job);
  EXPECT_EQ(found.process, 7);
  EXPECT_FALSE(find_job(database, "b").has_value());
  EXPECT_EQ(ids(find_jobs(database, {.metadata = {{"n", "1"}}})), std::vector<std::string>{"a"});
  EXPECT_TRUE(find_jobs(database, {.metadata = {{"n", "2"}}}).empty());
}

TEST_F(StoreTest, TheQueueIsByPriorityThenAge) {
  Database database(file, false);
  make_tables(database);
  for (const auto& [id, priority] : {std::pair{"a", 0}, {"b", 5}, {"c", 0}, {"d", 5}, {"e", -1}})
    insert_job(database, job(id, priority));
  const auto queue = find_jobs(database, {.states = {State::queued}, .in_queue_order = true});
  EXPECT_EQ(ids(queue), (std::vector<std::string>{"b", "d", "a", "c", "e"}));
  EXPECT_EQ(queue_of(database, Lane::batch), ids(queue));
  EXPECT_TRUE(queue_of(database, Lane::interactive).empty());
  EXPECT_EQ(ids(find_jobs(database, {.after = "d", .limit = 2})), (std::vector<std::string>{"c", "b"}));
}

TEST_F(StoreTest, EventsHaveNumbersThatOnlyGrow) {
  Database database(file, false);
  make_tables(database);
  insert_job(database, job("a"));
  insert_job(database, job("b"));
  int64_t last = 0;
  for (int i = 0; i < 6; ++i) {
    const auto number = insert_event(database, {.job = i % 2 ? "a" : "b", .message = std::to_string(i)});
    EXPECT_GT(number, last);
    last = number;
  }
  const auto first = events_after(database, "a", 0, 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].message + first[1].message, "13");
  EXPECT_EQ(events_after(database, "a", first[1].number, 10).front().message, "5");
  EXPECT_EQ(events_before(database, "a", 0, 1).front().message, "5");
  EXPECT_EQ(events_before(database, "a", first[1].number, 10).front().message, "1");
  EXPECT_THROW(insert_event(database, {.job = "nobody"}), IoError) << "of a job that is none";
}

TEST_F(StoreTest, AStoreOfALaterVersionOrADamagedOneIsRefused) {
  {
    Database database(file, false);
    make_tables(database);
    for (int i = 0; i < 200; ++i) insert_job(database, job("job" + std::to_string(i)));
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  {
    Database database(file, false);
    database.script("PRAGMA user_version = 99");
    EXPECT_THROW(make_tables(database), Error);
    database.script("PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE)");
    EXPECT_NO_THROW(make_tables(database));
  }
  const auto size = fs::file_size(file);
  std::string bytes;
  {
    std::ifstream in(file, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  for (size_t at = size / 2; at < size / 2 + 4096; ++at) bytes[at] = static_cast<char>(0xA5);
  std::ofstream(file, std::ios::binary) << bytes;
  Database database(file, false);
  EXPECT_THROW(make_tables(database), Error);
}

}  // namespace
}  // namespace thalweg::service
