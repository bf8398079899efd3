#include "caption.h"

#include <array>
#include <cstddef>

namespace scene {

namespace {

constexpr std::size_t kMaxGroups = 4;
constexpr std::array<std::string_view, 5> count_words = {"", "a", "two", "three", "four"};

Group parse_group(shapes::Words& words) {
  Group group;
  if (words.peek() == "one") {
    words.skip();
  } else {
    group.count = words.index_in(count_words, "a, one, two, three or four");
  }
  group.color = words.color();
  if (group.count == 1) {
    group.shape = words.shape();
  } else {
    constexpr std::array<std::string_view, kShapes> plurals = {"circles", "squares", "triangles"};
    group.shape = words.index_in(plurals, "circles, squares or triangles");
  }
  return group;
}

// Reads "and" as no relation; false at the prompt's end.
bool parse_link(shapes::Words& words, Relation& relation) {
  constexpr std::array<std::string_view, 5> links = {"and", "left", "right", "above", "below"};
  if (words.peek().empty()) return false;
  relation = static_cast<Relation>(words.index_in(links, "and, left of, right of, above or below"));
  if (relation == Relation::kLeftOf || relation == Relation::kRightOf) {
    constexpr std::array<std::string_view, 1> of = {"of"};
    words.index_in(of, "of");
  }
  return true;
}

void add_group(const Group& group, const shapes::Words& words, Caption& caption) {
  for (const Group& other : caption.groups) {
    if (other.color == group.color && other.shape == group.shape) {
      words.refuse("it names the same kind twice");
    }
  }
  caption.groups.push_back(group);
}

}  // namespace

Caption parse_caption(std::string_view prompt) {
  shapes::Words words(prompt, "scene");
  Caption caption;
  add_group(parse_group(words), words, caption);
  Relation link = Relation::kNone;
  while (parse_link(words, link)) {
    const bool related = caption.relation != Relation::kNone || link != Relation::kNone;
    if (caption.groups.size() == (related ? 2 : kMaxGroups) || (related && caption.groups.size() > 1)) {
      words.refuse("too many groups of objects");
    }
    add_group(parse_group(words), words, caption);
    caption.relation = link;
  }
  return caption;
}

}  // namespace scene
