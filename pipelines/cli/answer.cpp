#include "pipelines/cli/answer.h"

#include <iostream>
#include <string>

#include "engine/core/error.h"
#include "pipelines/cli/exit_codes.h"
#include "pipelines/cli/job_commands.h"
#include "pipelines/cli/output.h"
#include "pipelines/cli/plugin_list.h"
#include "pipelines/jobs.h"

namespace thalweg::cli {
namespace {

Json answer(const Json& question) {
  const auto ask = question.is_object() ? question.value("ask", "") : "";
  if (ask == "schema") return job_schema();
  if (ask == "plugins") return plugins_json();
  const Json job = question.is_object() ? question.value("job", Json()) : Json();
  if (ask == "validate") {
    check(job);
    return resolved_job(job);
  }
  if (ask == "plan") return plan_json(planned(job, PlanMode::estimate));
  throw Error("/ask", "must be validate, plan, plugins or schema");
}

Json error(const char* kind, const std::string& place, const std::string& message) {
  return {{"error", {{"kind", kind}, {"place", place}, {"message", message}}}};
}

Json answered(const std::string& line) {
  try {
    return {{"answer", answer(parse_json(line, "question"))}};
  } catch (const IoError& e) {
    return error("machine", e.place(), e.message());
  } catch (const Error& e) {
    return error("user", e.place(), e.message());
  } catch (const std::exception& e) {
    return error("machine", "", std::string("internal error: ") + e.what());
  }
}

}  // namespace

int answer_questions() {
  for (std::string line; std::getline(std::cin, line);)
    print(answered(line).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  return kDone;
}

}  // namespace thalweg::cli
