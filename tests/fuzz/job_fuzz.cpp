// The program's own files are in no library: this target compiles the one it needs.
#include "pipelines/cli/job_file.cpp"

#include <sstream>

#include "pipelines/jobs.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {

void job(std::string_view input) {
  const auto parts = sections(input);
  accepted([&] {
    auto json = parse_json(parts.front().second, "job.json");
    if (parts.size() > 1) {
      std::istringstream lines(parts[1].second);
      for (std::string line; std::getline(lines, line);) cli::apply_setting(json, line);
    }
    json.dump();
    const auto resolved = resolved_job(json);
    // With every default written out it is a job, and resolves to itself.
    const auto text = resolved.dump(2);
    const auto again = parse_json(text, "resolved");
    read_job(again);
    require(resolved_job(again).dump(2) == text, "a resolved job resolves to itself");
  });
}

}  // namespace thalweg::fuzz
