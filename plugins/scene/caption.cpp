#include "caption.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace scene {

namespace {

constexpr std::size_t kMaxGroups = 4;
constexpr std::array<std::string_view, 5> count_words = {"", "a", "two", "three", "four"};

// One word after the other; "" after the last.
class Words {
 public:
  explicit Words(std::string_view prompt) {
    std::string word;
    for (const char letter : prompt) {
      if (std::string_view(" \t\r\n").find(letter) == std::string_view::npos) {
        word += letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
      } else if (!word.empty()) {
        words_.push_back(std::move(word));
        word.clear();
      }
    }
    if (!word.empty()) words_.push_back(word);
    if (!words_.empty() && words_.back().back() == '.') words_.back().pop_back();
  }

  std::string_view peek() const { return at_ < words_.size() ? std::string_view(words_[at_]) : ""; }
  void skip() { ++at_; }

  /// The index of the next word in `known`, which is then skipped.
  template <std::size_t N>
  int index_in(const std::array<std::string_view, N>& known, const char* what) {
    const auto found = std::find(known.begin(), known.end(), peek());
    if (peek().empty() || found == known.end()) fail(what);
    skip();
    return static_cast<int>(found - known.begin());
  }

  [[noreturn]] void fail(const std::string& expected) const {
    const std::string got = peek().empty() ? "the prompt ends" : "it says \"" + std::string(peek()) + "\"";
    throw std::invalid_argument("the prompt is outside the scene grammar: " + got + " where " + expected +
                                " is expected");
  }

 private:
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

Group parse_group(Words& words) {
  Group group;
  if (words.peek() == "one") {
    words.skip();
  } else {
    group.count = words.index_in(count_words, "a, one, two, three or four");
  }
  group.color = words.index_in(color_words, "a colour (red, green, blue, yellow, purple, cyan)");
  if (group.count == 1) {
    group.shape = words.index_in(shape_words, "circle, square or triangle");
  } else {
    constexpr std::array<std::string_view, kShapes> plurals = {"circles", "squares", "triangles"};
    group.shape = words.index_in(plurals, "circles, squares or triangles");
  }
  return group;
}

// Reads "and" as no relation; false at the prompt's end.
bool parse_link(Words& words, Relation& relation) {
  constexpr std::array<std::string_view, 5> links = {"and", "left", "right", "above", "below"};
  if (words.peek().empty()) return false;
  relation = static_cast<Relation>(words.index_in(links, "and, left of, right of, above or below"));
  if (relation == Relation::kLeftOf || relation == Relation::kRightOf) {
    constexpr std::array<std::string_view, 1> of = {"of"};
    words.index_in(of, "of");
  }
  return true;
}

void add_group(const Group& group, Caption& caption) {
  for (const Group& other : caption.groups) {
    if (other.color == group.color && other.shape == group.shape) {
      throw std::invalid_argument("the prompt is outside the scene grammar: it names the same kind twice");
    }
  }
  caption.groups.push_back(group);
}

}  // namespace

Caption parse_caption(std::string_view prompt) {
  Words words(prompt);
  Caption caption;
  add_group(parse_group(words), caption);
  Relation link = Relation::kNone;
  while (parse_link(words, link)) {
    const bool related = caption.relation != Relation::kNone || link != Relation::kNone;
    if (caption.groups.size() == (related ? 2 : kMaxGroups) || (related && caption.groups.size() > 1)) {
      throw std::invalid_argument("the prompt is outside the scene grammar: too many groups of objects");
    }
    add_group(parse_group(words), caption);
    caption.relation = link;
  }
  return caption;
}

}  // namespace scene
