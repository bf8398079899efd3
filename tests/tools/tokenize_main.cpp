// Ids of many texts, for comparison with other programs.
//   tokenize FOLDER [--unpadded]: reads texts as JSON strings, one a line, and writes their ids as JSON
//   lists, one a
//     line, after a first line with the tokenizer's constants.
//   tokenize --assigned: the code points assigned in Unicode 15.0, as lines "first last".
#include <unicode/uniset.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "engine/models/text/clip_tokenizer.h"

namespace {

void print_assigned() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeSet assigned(icu::UnicodeString::fromUTF8("[:Age=15.0:]"), status);
  if (U_FAILURE(status)) throw std::runtime_error(u_errorName(status));
  for (int32_t i = 0; i < assigned.getRangeCount(); ++i)
    std::cout << assigned.getRangeStart(i) << ' ' << assigned.getRangeEnd(i) << '\n';
}

void print_ids(const std::string& folder, bool padded) {
  const auto tokenizer = thalweg::ClipTokenizer::load(folder);
  const nlohmann::json constants = {{"max_length", tokenizer.max_length()},
                                    {"bos", tokenizer.bos()},
                                    {"eos", tokenizer.eos()},
                                    {"pad", tokenizer.pad()},
                                    {"vocab_size", tokenizer.vocab_size()}};
  std::cout << constants.dump() << '\n';
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line).get<std::string>();
    const auto ids = padded ? tokenizer.encode(text) : tokenizer.encode_unpadded(text);
    std::cout << nlohmann::json(ids).dump() << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  const std::string second = argc > 2 ? argv[2] : "";
  if (first.empty() || argc > 3 || (argc == 3 && second != "--unpadded")) {
    std::cerr << "usage: tokenize FOLDER [--unpadded] < texts.jsonl > ids.jsonl, or tokenize --assigned\n";
    return 2;
  }
  try {
    if (first == "--assigned") {
      print_assigned();
    } else {
      print_ids(first, second.empty());
    }
  } catch (const std::exception& error) {
    std::cerr << "tokenize: " << error.what() << '\n';
    return 1;
  }
  return std::cout.flush() ? 0 : 1;
}
