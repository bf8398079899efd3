// `thalweg export`: the weights of a run that has not ended.
#pragma once

#include <cstdint>
#include <string>

namespace thalweg::cli {

struct ExportArguments {
  std::string run, model, to;
  int64_t checkpoint = -1;  // -1: the newest
};

/// Throws Error where there is nothing to export.
void export_weights(const ExportArguments& arguments);

}  // namespace thalweg::cli
