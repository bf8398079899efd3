// thalweg-service: what `thalweg serve`, `submit`, `jobs`, `watch`, `pause`, `resume` and `cancel` become.
#include <CLI/CLI.hpp>
#include <iostream>

#include "engine/core/error.h"
#include "pipelines/service/client.h"
#include "pipelines/service/doctor.h"
#include "pipelines/service/options.h"

namespace thalweg::service {
namespace {

constexpr int kFailed = 1, kUserError = 2;

void add_serve(CLI::App& app, Options& options) {
  auto* serve = app.add_subcommand("serve", "run jobs over HTTP, with a page to watch them");
  serve->set_config("--config", "", "these options, from a file: name = value");
  const auto add = [&](const char* name, auto& value, const char* environment, const char* text) {
    return serve->add_option(name, value, text)->envname(environment)->capture_default_str();
  };
  add("--host", options.host, "THALWEG_SERVE_HOST",
      "address to listen at; others than the loopback need --api-key-file");
  add("--port", options.port, "THALWEG_SERVE_PORT", "0: the system chooses");
  add("--socket", options.socket, "THALWEG_SERVE_SOCKET", "a Unix socket too");
  add("--store", options.store, "THALWEG_SERVE_STORE", "folder of jobs, events, files and runs");
  add("--root", options.root, "THALWEG_SERVE_ROOT",
      "where the paths of jobs begin, and which they do not leave");
  add("--presets", options.presets, "THALWEG_SERVE_PRESETS",
      "below the root: job files by the name of a model");
  add("--workers", options.workers, "THALWEG_SERVE_WORKERS", "jobs at a time")->check(CLI::Range(1, 1024));
  add("--cores", options.cores, "THALWEG_SERVE_CORES", "of each worker, its own; 0: all share all")
      ->check(CLI::Range(0, 1024));
  add("--gpu", options.gpus, "THALWEG_SERVE_GPU",
      "index or UUID of a GPU: workers see one each, in turn; none given: all see all");
  add("--max-pending", options.max_pending, "THALWEG_SERVE_MAX_PENDING", "jobs in the queue")
      ->check(CLI::Range(1, 10'000'000));
  add("--grace", options.grace_s, "THALWEG_SERVE_GRACE", "seconds that a run has to keep what it did")
      ->check(CLI::Range(0, 86400));
  add("--api-key-file", options.keys, "THALWEG_SERVE_API_KEY_FILE",
      "a key a line; \"admin KEY\": an operator's");
  add("--allow-host", options.hosts, "THALWEG_SERVE_ALLOW_HOST",
      "a name by which clients may call this server");
  add("--allow-remote", options.remotes, "THALWEG_SERVE_ALLOW_REMOTE", "a host that rewards of jobs may ask");
  add("--plugin", options.plugins, "THALWEG_SERVE_PLUGIN",
      "a reward that jobs may use; none given: all that are installed");
  serve->add_flag("--allow-python", options.python, "jobs may name rewards in Python below the root")
      ->envname("THALWEG_SERVE_ALLOW_PYTHON");
}

int guarded(const std::function<int()>& command) {
  try {
    return command();
  } catch (const IoError& e) {
    std::cerr << "thalweg: " << e.what() << "\n";
    return kFailed;
  } catch (const Error& e) {
    std::cerr << "thalweg: " << e.what() << "\n";
    return kUserError;
  } catch (const std::exception& e) {
    std::cerr << "thalweg: internal error: " << e.what() << "\n";
    return kFailed;
  }
}

int run(int argc, char** argv) {
  CLI::App app{"Thalweg as a service", "thalweg"};
  app.require_subcommand(1);
  Options options;
  add_serve(app, options);
  DoctorOptions doctor_options;
  auto* doctor_command = app.add_subcommand("doctor", "check the service's store, and repair it");
  add_options(*doctor_command, doctor_options);
  ClientCommand client(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUserError;
  }
  return guarded([&] {
    if (app.got_subcommand(doctor_command)) return doctor(doctor_options);
    return app.got_subcommand("serve") ? serve(options) : client.run();
  });
}

}  // namespace
}  // namespace thalweg::service

int main(int argc, char** argv) {
  return thalweg::service::run(argc, argv);
}
