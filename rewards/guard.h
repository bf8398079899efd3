// The one way into a library: the interface forbids exceptions and changes of what the process shares; what
// comes all the same must not end the program or spoil what is computed after it. While a call runs it stands
// in the list of running_calls.h.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/core/error.h"

namespace thalweg {

/// How a call into a library ended.
struct CallEnd {
  std::string wrong;  // "" when it returned, else "let an exception out: the film tore", clean UTF-8
  std::vector<std::string> put_back;  // what it had changed, see kept_state.h
};

CallEnd call_library(const std::string& plugin, const char* function, const std::function<void()>& call);

/// The result of a call into a library. An exception out of it becomes Error(place, "color: create let an
/// exception out: ..."). `call` holds that call alone: an Error of ours would be taken for the library's.
template <class Call>
auto guarded(const std::string& place, const std::string& plugin, const char* function, Call&& call) {
  using Result = std::invoke_result_t<Call>;
  const auto refuse = [&](const CallEnd& end) {
    if (!end.wrong.empty()) throw Error(place, plugin + ": " + function + " " + end.wrong);
  };
  if constexpr (std::is_void_v<Result>) {
    refuse(call_library(plugin, function, [&] { call(); }));
  } else {
    std::optional<Result> result;
    refuse(call_library(plugin, function, [&] { result = call(); }));
    return *result;
  }
}

}  // namespace thalweg
