#include "pipelines/cli/export_command.h"

#include <cstdio>
#include <filesystem>

#include "pipelines/align/export_run.h"
#include "pipelines/cli/output.h"

namespace thalweg::cli {

void export_weights(const ExportArguments& arguments) {
  ExportRequest request;
  request.run = arguments.run;
  request.model = arguments.model;
  request.to = arguments.to;
  if (arguments.checkpoint >= 0) request.checkpoint = arguments.checkpoint;
  const auto done = export_run(request);
  auto line = "weights of iteration " + std::to_string(done.iteration) + " from " + done.checkpoint.string();
  if (done.best) {
    char value[64];
    std::snprintf(value, sizeof value, ", the best held-out evaluation so far (%.4g)", done.value);
    line += value;
  }
  print(line + "\nwritten to " + done.to.string() + "\n");
}

}  // namespace thalweg::cli
