#include "pipelines/jobs.h"

#include <utility>

#include "engine/core/error.h"
#include "engine/core/schema_definitions.h"

namespace thalweg {
namespace {

// The keys that every job has, around those of its kind.
void describe_whole(Fields& f, int64_t& version, std::string& kind, std::vector<std::unique_ptr<Job>>& jobs) {
  f.integer({"version", "version of the job format", true}, version, 1, 1);
  std::vector<Fields::Alternative> alternatives;
  for (const auto& row : job_table()) {
    jobs.push_back(row.make());
    auto* job = jobs.back().get();
    alternatives.push_back({row.name, row.doc, [job](Fields& fields) { job->describe(fields); }});
  }
  f.variant({"job", "what to do", true}, kind, alternatives);
}

struct WholeJob {
  int64_t version = 1;
  std::string kind;
  std::vector<std::unique_ptr<Job>> jobs;

  Fields::Describe describe() {
    return [this](Fields& f) {
      jobs.clear();
      describe_whole(f, version, kind, jobs);
    };
  }
  std::unique_ptr<Job> take() {
    for (size_t i = 0; i < jobs.size(); ++i)
      if (kind == job_table()[i].name) return std::move(jobs[i]);
    throw Error("/job", "is missing: what to do");
  }
};

}  // namespace

std::unique_ptr<Job> read_job(const Json& json) {
  WholeJob whole;
  read_fields(json, "", whole.describe());
  return whole.take();
}

std::unique_ptr<Job> checked_job(const Json& json) {
  auto job = read_job(json);
  if (job->output().empty()) throw Error("/output", "must name a folder");
  job->fill_in();
  job->check();
  return job;
}

Json resolved_job(const Json& json) {
  WholeJob whole;
  read_fields(json, "", whole.describe());
  const auto kind = whole.kind;
  auto job = whole.take();
  job->fill_in();
  return write_fields([&](Fields& f) {
    int64_t version = 1;
    std::string tag = kind;
    f.integer({"version", "", true}, version, 1, 1);
    f.variant({"job", "", true}, tag, {{kind, "", [&](Fields& fields) { job->describe(fields); }}});
  });
}

Json job_schema() {
  WholeJob whole;
  Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "Thalweg job"}};
  schema.update(schema_of_fields(whole.describe()));
  return with_definitions(schema);
}

}  // namespace thalweg
