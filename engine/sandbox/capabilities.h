// What a process of root's may do beyond others.
#pragma once

namespace thalweg {

/// Gives up all but reading and writing files whose owner is another: where the program runs as root, as in
/// containers, the rest is a way around a sandbox (the environment of other processes, for one).
void drop_capabilities();

}  // namespace thalweg
