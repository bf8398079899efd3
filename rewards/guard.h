// The one way into a library: the interface forbids exceptions, and one that comes all the same must not end
// the program.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>

#include "engine/core/error.h"

namespace thalweg {

/// "" when `call` returned, else what is wrong with it: "let an exception out: the film tore", clean UTF-8.
std::string let_out(const std::function<void()>& call);

/// The result of a call into a library. An exception out of it becomes Error(place, "color: create let an
/// exception out: ..."). `call` holds that call alone: an Error of ours would be taken for the library's.
template <class Call>
auto guarded(const std::string& place, const std::string& plugin, const char* function, Call&& call) {
  using Result = std::invoke_result_t<Call>;
  const auto refuse = [&](const std::string& text) {
    if (!text.empty()) throw Error(place, plugin + ": " + function + " " + text);
  };
  if constexpr (std::is_void_v<Result>) {
    refuse(let_out([&] { call(); }));
  } else {
    std::optional<Result> result;
    refuse(let_out([&] { result = call(); }));
    return *result;
  }
}

}  // namespace thalweg
