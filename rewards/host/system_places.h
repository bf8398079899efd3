// Where a reward's process finds what every program needs.
#pragma once

#include "engine/sandbox/landlock.h"

namespace thalweg {

/// Libraries, certificates, time zones, what the kernel says of itself, devices of random numbers; the
/// folders of the libraries that this process has mapped, and those that LD_LIBRARY_PATH and PYTHONPATH name;
/// caches of downloaded models, without the keys beside them. `network`: and how names become addresses;
/// `gpu`: and the devices of NVIDIA GPUs.
ReachedFiles system_places(bool network, bool gpu);

}  // namespace thalweg
