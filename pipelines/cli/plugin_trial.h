// `thalweg plugins --validate FILE`: every clause of the plugin contract, tried on one library.
#pragma once

#include <string>

#include "plugins/validator/validator.h"

namespace CLI {
class App;
}

namespace thalweg::cli {

struct PluginTrial {
  std::string file, prompts;
  validator::Options options;
};

void add_options(CLI::App& command, PluginTrial& trial);

/// Prints a table, or JSON; false when a clause is broken. Throws Error for options that are wrong.
bool print_trial(PluginTrial trial, bool as_json);

}  // namespace thalweg::cli
