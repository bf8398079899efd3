#include "pipelines/run/run_job.h"

#include <c10/util/Exception.h>

#include <filesystem>
#include <functional>
#include <new>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "pipelines/jobs.h"
#include "pipelines/run/folder_lock.h"
#include "pipelines/run/run_folder.h"
#include "pipelines/stages/not_finite.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxMessage = 2000;  // bytes of a message in result.json, as in an Error

JobEnd error_end(JobEnd::Kind kind, const Error& e) {
  return {kind,
          {{"status", "failed"}, {"error", {{"param", e.place()}, {"message", e.message()}}}},
          e.place(),
          e.what()};
}

/// What no one foresaw. `said` is the whole of it, `message` what a user can read.
JobEnd internal_error(const std::string& said, const std::string& message) {
  const Json error = {{"param", ""}, {"message", printable(message, kMaxMessage)}};
  return {JobEnd::Kind::failed, {{"status", "failed"}, {"error", error}}, "", "internal error: " + said};
}

JobEnd end_of(const Stopped& stopped) {
  if (stopped.why.empty()) return {JobEnd::Kind::stopped, {{"status", "stopped"}}};
  if (stopped.failed) return error_end(JobEnd::Kind::failed, Error("/rewards", stopped.why));
  return {
      JobEnd::Kind::stopped, {{"status", "stopped"}, {"paused", stopped.why}}, "", "paused: " + stopped.why};
}

/// The end that the exception in flight stands for.
JobEnd end_of_exception() {
  try {
    throw;
  } catch (const Stopped& stopped) {
    return end_of(stopped);
  } catch (const NothingAchieved& e) {
    auto end = error_end(JobEnd::Kind::wrong_job, e);
    end.result.update(e.result());
    return end;
  } catch (const IoError& e) {
    return error_end(JobEnd::Kind::failed, e);
  } catch (const NotFinite& e) {
    return error_end(JobEnd::Kind::failed, e);
  } catch (const Error& e) {
    return error_end(JobEnd::Kind::wrong_job, e);
  } catch (const fs::filesystem_error& e) {  // names its file, as all others do
    try {
      throw_io_error(e.path2().empty() ? e.path1() : e.path2(), "cannot be written", e.code().value());
    } catch (const IoError& named) {
      return error_end(JobEnd::Kind::failed, named);
    }
  } catch (const c10::Error& e) {  // a GPU without memory is one
    return internal_error(e.what(), e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return internal_error("no memory is left", "no memory is left");
  } catch (const std::exception& e) {
    return internal_error(e.what(), e.what());
  } catch (...) {
    return internal_error("an exception of an unknown type", "an exception of an unknown type");
  }
}

void make_folder(const fs::path& folder) {
  std::error_code ec;
  fs::create_directories(folder, ec);
  if (!fs::is_directory(folder, ec))
    throw Error("/output", "\"" + folder.string() + "\" is not a folder and cannot be made one");
}

/// THE writer of result.json.
void write_result(const Job& job, const Json& result) {
  write_synced(fs::path(job.output()) / "result.json", result.dump(2) + "\n");
}

/// What the job came to is on the disk by now, whatever comes.
void clean_up(const Job& job, const Observer& observer) {
  try {
    job.clean_up();
  } catch (const std::exception& e) {
    observer.message(std::string("warn: ") + e.what());
  }
}

/// The end that the exception in flight stands for, in result.json, too.
JobEnd written_end(const Job& job) {
  auto end = end_of_exception();
  end.resumes = job.resumes();
  try {
    write_result(job, end.result);
  } catch (...) {  // a full disk: of two errors the first says so
    if (end.kind == JobEnd::Kind::stopped) return end_of_exception();
  }
  return end;
}

/// A job that has begun, which is before anything in its folder changes, ends with a result.json.
JobEnd begun(Job& job, const Json& resolved, const Observer& observer) {
  try {
    observer.started(job.output());
    const fs::path folder = job.output();
    if (job.goes_on())
      remove_path(folder / "result.json");
    else
      remove_leftovers(folder, resolved);
    write_synced(folder / "job.json", resolved.dump(2) + "\n");
    Json result = {{"status", "succeeded"}};
    result.update(job.run(observer));
    write_result(job, result);
    clean_up(job, observer);
    return {JobEnd::Kind::succeeded, std::move(result)};
  } catch (const NothingAchieved&) {
    auto end = written_end(job);
    clean_up(job, observer);  // when it is run again, it begins anew
    return end;
  } catch (...) {
    return written_end(job);
  }
}

JobEnd finished(const Job& job, const Observer& observer) {
  observer.message("this job is finished: " + job.output() + " (to run it anew, remove the folder)");
  return {JobEnd::Kind::succeeded, parse_json_file(fs::path(job.output()) / "result.json")};
}

/// The output as an absolute path: what a plugin does to the working folder later moves no file. job.json
/// keeps what the user wrote.
Json with_absolute_output(Json json) {
  if (!json.is_object() || !json.contains("output") || !json.at("output").is_string()) return json;
  const auto& output = json.at("output").get_ref<const std::string&>();
  std::error_code ec;
  const auto absolute = fs::absolute(output, ec).string();
  if (!output.empty() && !ec) json["output"] = absolute;
  return json;
}

/// Whatever is thrown before the job has begun: it leaves no result.
JobEnd or_refused(const std::function<JobEnd()>& life) {
  try {
    return life();
  } catch (...) {
    auto end = end_of_exception();
    end.result = nullptr;
    return end;
  }
}

}  // namespace

void check_folder(const Job& job, const Json& resolved) {
  job.check_folder();
  if (!job.goes_on() && !job.is_finished()) require_free(job.output(), resolved);
}

JobEnd run_job(Job& job, const Json& resolved, const Observer& observer) {
  return or_refused([&] {
    const fs::path folder = job.output();
    make_folder(folder);
    const FolderLock lock(folder);
    check_folder(job, resolved);
    if (job.is_finished()) return finished(job, observer);
    return begun(job, resolved, observer);
  });
}

JobEnd run_job(const Json& json, const Observer& observer) {
  return or_refused([&] {
    const auto job = checked_job(with_absolute_output(json));
    return run_job(*job, resolved_job(json), observer);
  });
}

}  // namespace thalweg
