// `thalweg reward try FILE PICTURES...`: what rewards say of a few pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace thalweg::cli {

struct RewardTrial {
  std::string file;                   // a job, or one entry of its rewards
  std::vector<std::string> pictures;  // files, and folders of them
  std::string prompt, prompts, device = "cpu";
  bool has_prompt = false;
  int64_t batch = 1, seed = 0;
  bool as_json = false;
};

void add_options(CLI::App& command, RewardTrial& trial);

/// Prints a table, or JSON; false when nothing was scored. Throws Error for what is wrong with the arguments,
/// the pictures or the rewards.
bool print_rewards(const RewardTrial& trial);

}  // namespace thalweg::cli
