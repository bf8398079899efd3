// Ids of many texts, for comparison with other programs.
//   tokenize FOLDER [--unpadded]: reads texts as JSON strings, one a line, and writes their ids as JSON
//   lists, one a
//     line, after a first line with the tokenizer's constants.
//   tokenize --t5 FOLDER [LENGTH]: the same for a T5 tokenizer, padded to LENGTH or not at all.
//   tokenize --wordpiece VOCABULARY LENGTH: the same for BERT's, cut at LENGTH.
//   tokenize --wan-clean: each text as Wan's pipeline hands it to its tokenizer, as JSON strings.
//   tokenize --assigned: the code points assigned in Unicode 15.0, as lines "first last".
#include <unicode/uniset.h>

#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/models/text/clip_tokenizer.h"
#include "engine/models/text/t5_tokenizer.h"
#include "engine/models/text/wordpiece.h"
#include "engine/models/wan/prompt_clean.h"

namespace {

void print_assigned() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeSet assigned(icu::UnicodeString::fromUTF8("[:Age=15.0:]"), status);
  if (U_FAILURE(status)) throw std::runtime_error(u_errorName(status));
  for (int32_t i = 0; i < assigned.getRangeCount(); ++i)
    std::cout << assigned.getRangeStart(i) << ' ' << assigned.getRangeEnd(i) << '\n';
}

using Encode = std::function<std::vector<int64_t>(const std::string&)>;

void print_ids(const nlohmann::json& constants, const Encode& encode) {
  std::cout << constants.dump() << '\n';
  for (std::string line; std::getline(std::cin, line);)
    std::cout << nlohmann::json(encode(nlohmann::json::parse(line).get<std::string>())).dump() << '\n';
}

void print_clip_ids(const std::string& folder, bool padded) {
  const auto tokenizer = thalweg::ClipTokenizer::load(folder);
  print_ids({{"max_length", tokenizer.max_length()},
             {"bos", tokenizer.bos()},
             {"eos", tokenizer.eos()},
             {"pad", tokenizer.pad()},
             {"vocab_size", tokenizer.vocab_size()}},
            [&](const std::string& text) {
              return padded ? tokenizer.encode(text) : tokenizer.encode_unpadded(text);
            });
}

void print_t5_ids(const std::string& folder, const std::string& length) {
  const auto tokenizer = thalweg::T5Tokenizer::load(folder);
  print_ids({{"eos", tokenizer.eos()}, {"pad", tokenizer.pad()}, {"vocab_size", tokenizer.vocab_size()}},
            [&](const std::string& text) {
              return length.empty() ? tokenizer.encode_whole(text)
                                    : tokenizer.encode(text, std::stoll(length));
            });
}

void print_wordpiece_ids(const std::string& vocabulary, const std::string& length) {
  const auto tokenizer = thalweg::WordPiece::load(vocabulary);
  print_ids({{"vocab_size", tokenizer.vocab_size()}},
            [&](const std::string& text) { return tokenizer.encode(text, std::stoll(length)); });
}

void print_cleaned() {
  for (std::string line; std::getline(std::cin, line);)
    std::cout
        << nlohmann::json(thalweg::wan_prompt_clean(nlohmann::json::parse(line).get<std::string>())).dump()
        << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i) { return argc > i ? std::string(argv[i]) : std::string(); };
  const auto first = argument(1), second = argument(2);
  const bool t5 = first == "--t5" && argc >= 3 && argc <= 4;
  const bool wordpiece = first == "--wordpiece" && argc == 4;
  if (!t5 && !wordpiece && (first.empty() || argc > 3 || (argc == 3 && second != "--unpadded"))) {
    std::cerr << "usage: tokenize FOLDER [--unpadded] or tokenize --t5 FOLDER [LENGTH] or tokenize "
                 "--wordpiece VOCABULARY LENGTH, < texts.jsonl > ids.jsonl; tokenize --assigned; tokenize "
                 "--wan-clean\n";
    return 2;
  }
  try {
    if (first == "--assigned") {
      print_assigned();
    } else if (first == "--wan-clean") {
      print_cleaned();
    } else if (wordpiece) {
      print_wordpiece_ids(second, argument(3));
    } else if (t5) {
      print_t5_ids(second, argument(3));
    } else {
      print_clip_ids(first, second.empty());
    }
  } catch (const std::exception& error) {
    std::cerr << "tokenize: " << error.what() << '\n';
    return 1;
  }
  return std::cout.flush() ? 0 : 1;
}
