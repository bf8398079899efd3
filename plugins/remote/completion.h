// What a server answers to POST .../chat/completions, as far as a judge is read from it.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remote {

/// One place of the answer: the token that was chosen, and the likeliest ones there with their
/// log-probabilities. The interface's -9999 ("not among them") is left out.
struct TokenPlace {
  std::string token;
  std::vector<std::pair<std::string, double>> top;
};

struct Completion {
  std::string content;
  std::vector<TokenPlace> places;  // empty where the server sends none
  std::optional<int64_t> input_tokens, output_tokens;
};

/// An answer that is none. Its text is for the user.
class Unreadable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws Unreadable.
Completion read_completion(std::string_view body);

/// The first place of the answer proper: not blank, and behind a <think> block. None where there is none.
const TokenPlace* first_place(const Completion& completion);

/// The same of the text.
std::string_view answer_text(const Completion& completion);

}  // namespace remote
