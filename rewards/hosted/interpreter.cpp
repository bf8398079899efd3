#include "rewards/hosted/interpreter.h"

#include "engine/core/endings.h"
#include "engine/core/error.h"
#include "rewards/hosted/child.h"
#include "rewards/hosted/sandbox.h"

namespace thalweg {

Interpreter ask_interpreter(const std::string& interpreter, const std::filesystem::path& script,
                            double seconds, const std::string& place) {
  std::string ended;
  try {
    const SharedMemory none;
    ChildProcess child({interpreter, "-I", "-S", script.string(), "--places"}, none, 0.0);
    try {
      const auto answer = child.wire().receive(seconds);
      if (!answer) throw Error(place, "\"" + interpreter + "\" said nothing within " + in_seconds(seconds));
      Interpreter found;
      answer->at("executable").get_to(found.executable);
      for (const auto& folder : answer->at("places"))
        if (auto path = folder.get<std::string>(); !holds_home(path)) found.places.push_back(std::move(path));
      return found;
    } catch (const WireBroken&) {
      ended = child.end();
    }
  } catch (const IoError& e) {
    throw Error(place, "\"" + interpreter + "\" " + e.message());
  } catch (const Json::exception&) {
    ended = "answers otherwise";
  }
  throw Error(place, "\"" + interpreter + "\" is no Python 3: it " + ended);
}

}  // namespace thalweg
