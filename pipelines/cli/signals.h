// SIGINT, SIGTERM and SIGHUP as a request to stop after the work in hand; a second one ends the program at
// once. They come here where nobody watches the program (watch.h), or the user picks out the process that
// works.
#pragma once

namespace thalweg::cli {

void watch_signals();
bool stop_requested();

}  // namespace thalweg::cli
