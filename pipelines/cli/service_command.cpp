#include "pipelines/cli/service_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/process.h"

namespace thalweg::cli {
namespace {

constexpr std::pair<const char*, const char*> kCommands[] = {
    {"serve", "run jobs over HTTP, with a page to watch them"},
    {"submit", "hand a job to the service"},
    {"jobs", "list the service's jobs"},
    {"watch", "follow a job of the service"},
    {"pause", "pause a job of the service at its next checkpoint"},
    {"resume", "queue a paused job again"},
    {"cancel", "cancel a job of the service"},
    {"doctor", "check the service's store, and repair it"},
};

}  // namespace

void add_service_commands(CLI::App& app) {
  for (const auto& [name, text] : kCommands) {
    auto* command = app.add_subcommand(name, text);
    command->prefix_command();
    command->set_help_flag();
  }
}

bool is_service_command(const CLI::App& app) {
  for (const auto& [name, text] : kCommands)
    if (app.got_subcommand(name)) return true;
  return false;
}

int become_service(int argc, char** argv) {
  const auto program = program_beside("thalweg-service");
  if (!program) throw Error("thalweg-service", "is not beside this program: build or install it too");
  std::vector<char*> words{const_cast<char*>(program->c_str())};
  for (int i = 1; i < argc; ++i) words.push_back(argv[i]);
  words.push_back(nullptr);
  ::execv(program->c_str(), words.data());
  throw_io_error(*program, "cannot be run", errno);
}

}  // namespace thalweg::cli
