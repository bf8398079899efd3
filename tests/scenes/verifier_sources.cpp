// The plugin is a module, which nothing can link; its parts are compiled into this test program instead.
#include "plugins/scene/caption.cpp"   // NOLINT(bugprone-suspicious-include)
#include "plugins/scene/score.cpp"     // NOLINT(bugprone-suspicious-include)
#include "plugins/scene/shape.cpp"     // NOLINT(bugprone-suspicious-include)
#include "plugins/scene/verifier.cpp"  // NOLINT(bugprone-suspicious-include)
#include "plugins/shapes/outline.cpp"  // NOLINT(bugprone-suspicious-include)
#include "plugins/shapes/pieces.cpp"   // NOLINT(bugprone-suspicious-include)
#include "plugins/shapes/words.cpp"    // NOLINT(bugprone-suspicious-include)
