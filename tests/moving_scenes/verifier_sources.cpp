// The plugin is a module, which nothing can link; its parts are compiled into this test program instead.
#include "plugins/motion/caption.cpp"  // NOLINT(bugprone-suspicious-include)
#include "plugins/motion/objects.cpp"  // NOLINT(bugprone-suspicious-include)
#include "plugins/motion/score.cpp"    // NOLINT(bugprone-suspicious-include)
#include "plugins/motion/track.cpp"    // NOLINT(bugprone-suspicious-include)
#include "plugins/shapes/outline.cpp"  // NOLINT(bugprone-suspicious-include)
#include "plugins/shapes/pieces.cpp"   // NOLINT(bugprone-suspicious-include)
#include "plugins/shapes/words.cpp"    // NOLINT(bugprone-suspicious-include)
