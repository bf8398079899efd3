// LibTorch frees and takes back the same large blocks at each step. What is freed stays mapped, which saves
// the page faults (8-50 % of a forward, measured), and each worker takes from a pool of its own where
// jemalloc is linked (a fifth of an iteration's CPU time, measured).
#pragma once

namespace thalweg::cli {

/// To be called once, before the first thread.
void keep_freed_memory();

}  // namespace thalweg::cli
