// The command line: thalweg run | validate | plan | schema | plugins | lora.
#pragma once

namespace thalweg::cli {

/// Exit codes: 0 done, 2 the job or its inputs are wrong, 3 stopped by a signal after a checkpoint, 1
/// anything else.
int run_program(int argc, char** argv);

}  // namespace thalweg::cli
