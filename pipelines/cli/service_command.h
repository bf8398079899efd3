// serve, submit, jobs, watch, pause, resume, cancel: a program of its own beside this one, which loads no
// engine.
#pragma once

namespace CLI {
class App;
}

namespace thalweg::cli {

/// That they are there; their own options are that program's.
void add_service_commands(CLI::App& app);
bool is_service_command(const CLI::App& app);
/// Becomes thalweg-service with the same arguments. Throws Error where it is not beside this program.
int become_service(int argc, char** argv);

}  // namespace thalweg::cli
