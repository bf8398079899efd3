// The other end of the line: a library's reward, for one program.
#pragma once

#include "rewards/hosted/wire.h"

namespace thalweg {

/// Answers until it is told to close, or the program is gone.
void serve_rewards(Wire& wire, SharedMemory& memory);

}  // namespace thalweg
