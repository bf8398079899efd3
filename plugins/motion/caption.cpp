#include "caption.h"

#include <array>

namespace motion {

namespace {

template <std::size_t N>
using Known = std::array<std::string_view, N>;

constexpr Known<7> verbs = {"moves", "grows", "shrinks", "appears", "vanishes", "turns", "stays"};

Direction parse_direction(shapes::Words& words) {
  constexpr Known<4> directions = {"left", "right", "up", "down"};
  return static_cast<Direction>(words.index_in(directions, "left, right, up or down"));
}

Actor parse_actor(shapes::Words& words) {
  constexpr Known<2> articles = {"a", "one"};
  Actor actor;
  words.index_in(articles, "a or one");
  actor.color = words.color();
  actor.shape = words.shape();
  actor.verb =
      static_cast<Verb>(words.index_in(verbs, "moves, grows, shrinks, appears, vanishes, turns or stays"));
  if (actor.verb == Verb::kMoves) {
    actor.legs.push_back(parse_direction(words));
    if (words.peek() == "then") {
      words.skip();
      actor.legs.push_back(parse_direction(words));
      if (actor.legs[0] == actor.legs[1]) words.refuse("it names the same direction twice");
    }
  } else if (actor.verb == Verb::kTurns) {
    actor.new_color = words.color();
    if (actor.new_color == actor.color) words.refuse("it turns a colour into itself");
  }
  return actor;
}

// Objects are told apart by their colours.
bool share_a_color(const Actor& a, const Actor& b) {
  const auto has = [](const Actor& actor, int color) {
    return actor.color == color || (actor.verb == Verb::kTurns && actor.new_color == color);
  };
  return has(a, b.color) || (b.verb == Verb::kTurns && has(a, b.new_color));
}

}  // namespace

Caption parse_caption(std::string_view prompt) {
  constexpr Known<1> link = {"and"};
  shapes::Words words(prompt, "motion");
  Caption caption;
  caption.actors.push_back(parse_actor(words));
  if (words.peek().empty()) return caption;
  words.index_in(link, "and, or the end,");
  caption.actors.push_back(parse_actor(words));
  if (share_a_color(caption.actors[0], caption.actors[1])) words.refuse("two objects of one colour");
  if (!words.peek().empty()) words.refuse("more than two objects");
  return caption;
}

}  // namespace motion
