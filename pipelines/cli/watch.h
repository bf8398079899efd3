// A small process that watches the one that works: it does nothing else, so no plugin, no lack of memory and
// no fault of ours can keep it from saying how the work ended. Nothing but a worker that says so itself ends
// with 0.
#pragma once

#include <filesystem>
#include <functional>

namespace thalweg::cli {

/// Forks, and runs `work` in the child, whose result is the exit code. Signals to stop (INT, TERM, HUP) are
/// told to the child by stop_was_asked(); a second INT or TERM ends it at once, and so does a call into a
/// plugin that has not returned for a while after the first. Whatever ends the child without its result
/// becomes a line on standard error that names the plugin that was running, "failed" in result.json once the
/// job has begun, and 1. The child dies with this process. Call it before there are threads. Throws Error for
/// a THALWEG_GRACE_SECONDS that is none.
int watched(const std::function<int()>& work);

/// Of the child: the job has begun in this folder, an absolute path. Without a watcher it does nothing, nor
/// does the next.
void tell_begun(const std::filesystem::path& folder);

/// Of the child, as its last word: its exit code. [in a signal handler, too]
void tell_end(int code);

/// Not where the environment says THALWEG_UNWATCHED=1, for debuggers and profilers.
bool wants_watcher();

/// Whether this process is watched.
bool is_watched();

/// Of the child: a signal to stop has come.
bool stop_was_asked();

}  // namespace thalweg::cli
