// SIGINT and SIGTERM as a request to stop after the work in hand; a second one ends the program at once.
#pragma once

namespace thalweg::cli {

void watch_signals();
bool stop_requested();

}  // namespace thalweg::cli
