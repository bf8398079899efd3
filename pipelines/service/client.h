// `thalweg submit`, `jobs`, `watch`, `pause`, `resume`, `cancel`: what is asked of a service from a shell.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace thalweg::service {

class ClientCommand {
 public:
  /// Adds its subcommands.
  explicit ClientCommand(CLI::App& app);
  /// Does the one that was parsed; the exit code: of `watch` and `submit --watch` 0 where the job succeeded,
  /// 1 where it did not. Throws Error with what the service answered.
  int run() const;

 private:
  int submit() const;
  int list() const;
  int act() const;
  int watch(const std::string& id) const;

  std::string action_, server_, id_, job_, status_;
  std::vector<std::string> metadata_;
  int priority_ = 0;
  bool watches_ = false, as_json_ = false;
};

}  // namespace thalweg::service
