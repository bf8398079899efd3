#include "pipelines/moving_scenes/caption.h"

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

#include "engine/core/error.h"
#include "pipelines/scenes/draw.h"

namespace thalweg::moving_scenes {

namespace {

constexpr const char* kPlace = "pipelines/moving_scenes";
constexpr std::array<const char*, 4> direction_words = {"left", "right", "up", "down"};
constexpr std::array<Direction, 4> directions = {Direction::kLeft, Direction::kRight, Direction::kUp,
                                                 Direction::kDown};
constexpr int kNotHeldOut = -1;
constexpr std::size_t kLeastHeldOut = 4;  // of each way of acting
// The first in counting upward that leaves training every colour, and every shape twice, with every way of
// acting.
constexpr std::uint64_t kSalt = 2;

bool sideways(Direction direction) {
  return direction == Direction::kLeft || direction == Direction::kRight;
}

const char* word(Direction direction) {
  return direction_words.at(static_cast<std::size_t>(direction));
}

std::string action_text(const Action& action) {
  switch (action.verb) {
    case Verb::kMoves:
      return std::string("moves ") + word(action.direction);
    case Verb::kMovesThen:
      return std::string("moves ") + word(action.direction) + " then " + word(action.then);
    case Verb::kGrows:
      return "grows";
    case Verb::kShrinks:
      return "shrinks";
    case Verb::kAppears:
      return "appears";
    case Verb::kVanishes:
      return "vanishes";
    case Verb::kTurns:
      return "turns " + scenes::color_names.at(static_cast<std::size_t>(action.color));
    case Verb::kStays:
      break;
  }
  return "stays";
}

std::string actor_text(const Actor& actor) {
  return "a " + scenes::color_names.at(static_cast<std::size_t>(actor.color)) + ' ' +
         scenes::shape_names.at(static_cast<std::size_t>(actor.shape)) + ' ' + action_text(actor.action);
}

std::vector<Actor> actors_of(const std::vector<Action>& actions) {
  std::vector<Actor> actors;
  for (const Action& action : actions) {
    for (int color = 0; color < scenes::kColors; ++color) {
      for (int shape = 0; shape < scenes::kShapes; ++shape) actors.push_back({color, shape, action});
    }
  }
  return actors;
}

std::vector<Action> moves() {
  std::vector<Action> actions;
  for (const Direction direction : directions) actions.push_back({Verb::kMoves, direction, {}, 0});
  return actions;
}

std::vector<Action> paths() {
  std::vector<Action> actions;
  for (const Direction first : directions) {
    for (const Direction second : directions) {
      if (sideways(first) != sideways(second)) actions.push_back({Verb::kMovesThen, first, second, 0});
    }
  }
  return actions;
}

Action plain(Verb verb) {
  return {verb, {}, {}, 0};
}

std::vector<Caption> alone(Kind kind, const std::vector<Action>& actions) {
  std::vector<Caption> captions;
  for (const Actor& actor : actors_of(actions)) captions.push_back({kind, {actor}});
  return captions;
}

std::vector<Caption> turns() {
  std::vector<Caption> captions;
  for (const Actor& actor : actors_of({plain(Verb::kTurns)})) {
    for (int color = 0; color < scenes::kColors; ++color) {
      if (color == actor.color) continue;
      captions.push_back({Kind::kTurn, {actor}});
      captions.back().actors[0].action.color = color;
    }
  }
  return captions;
}

std::vector<Caption> pairs() {
  std::vector<Action> actions = moves();
  for (const Verb verb : {Verb::kGrows, Verb::kShrinks, Verb::kAppears, Verb::kVanishes, Verb::kStays}) {
    actions.push_back(plain(verb));
  }
  const std::vector<Actor> actors = actors_of(actions);
  std::vector<Caption> captions;
  for (const Actor& first : actors) {
    for (const Actor& second : actors) {
      const bool both_stay = first.action.verb == Verb::kStays && second.action.verb == Verb::kStays;
      if (first.color != second.color && !both_stay) captions.push_back({Kind::kTwo, {first, second}});
    }
  }
  return captions;
}

using Table = std::array<std::vector<Caption>, shares.size()>;

const Table& table() {
  static const Table captions = {alone(Kind::kMove, moves()),
                                 alone(Kind::kSize, {plain(Verb::kGrows), plain(Verb::kShrinks)}),
                                 alone(Kind::kPop, {plain(Verb::kAppears), plain(Verb::kVanishes)}),
                                 turns(),
                                 alone(Kind::kThen, paths()),
                                 pairs()};
  return captions;
}

struct Entry {
  const Caption* caption;
  int part;  // kNotHeldOut, 0 or 1
};
using Index = std::unordered_map<std::string, Entry>;

// A way of acting: the kind, and each actor's verb and directions.
std::vector<int> way_of(const Caption& caption) {
  std::vector<int> way = {static_cast<int>(caption.kind)};
  for (const Actor& actor : caption.actors) {
    const Action& action = actor.action;
    for (const int number :
         {static_cast<int>(action.verb), static_cast<int>(action.direction), static_cast<int>(action.then)}) {
      way.push_back(number);
    }
  }
  return way;
}

Index make_index() {
  Index index;
  std::map<std::vector<int>, std::vector<std::pair<std::uint64_t, Entry*>>> ways;
  for (const auto& captions : table()) {
    for (const Caption& caption : captions) {
      std::string text = to_text(caption);
      const std::uint64_t hash = scenes::hash_text(text, kSalt);
      Entry& entry = index.emplace(std::move(text), Entry{&caption, kNotHeldOut}).first->second;
      ways[way_of(caption)].emplace_back(hash, &entry);
    }
  }
  for (auto& [way, entries] : ways) {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    const std::size_t held = std::max(kLeastHeldOut, entries.size() / 16 * 2);
    for (std::size_t i = 0; i < held; ++i) entries[i].second->part = static_cast<int>(i % 2);
  }
  return index;
}

const Entry& find(const std::string& text) {
  static const Index index = make_index();
  const auto found = index.find(text);
  if (found == index.end()) {
    throw Error(kPlace,
                "\"" + text + "\" is no caption of the moving scenes; \"a red circle moves left\" is one");
  }
  return found->second;
}

std::vector<std::string> draw_captions(int n, std::uint64_t seed,
                                       const std::function<bool(const std::string&)>& wanted) {
  std::vector<scenes::CaptionPool> pools;
  for (const KindShare& share : shares) {
    scenes::CaptionPool pool{share.percent, {}};
    for (const Caption& caption : captions_of(share.kind)) {
      std::string text = to_text(caption);
      if (wanted(text)) pool.texts.push_back(std::move(text));
    }
    pools.push_back(std::move(pool));
  }
  return scenes::draw_from(std::move(pools), n, seed);
}

}  // namespace

std::string to_text(const Caption& caption) {
  std::string text = actor_text(caption.actors.at(0));
  if (caption.actors.size() == 2) text += " and " + actor_text(caption.actors[1]);
  return text;
}

const Caption& find_caption(const std::string& text) {
  return *find(text).caption;
}

const std::vector<Caption>& captions_of(Kind kind) {
  return table().at(static_cast<std::size_t>(kind));
}

std::vector<std::string> all_captions() {
  std::vector<std::string> texts;
  for (const auto& captions : table()) {
    for (const Caption& caption : captions) texts.push_back(to_text(caption));
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

std::vector<std::string> vocabulary() {
  return scenes::words_of(all_captions());
}

bool held_out(const std::string& caption) {
  return find(caption).part != kNotHeldOut;
}

int held_out_part(const std::string& caption) {
  const int part = find(caption).part;
  if (part == kNotHeldOut) throw Error(kPlace, "\"" + caption + "\" is not held out, so it is of no part");
  return part;
}

std::vector<std::string> eval_captions(int n, std::uint64_t seed, int part) {
  if (part != 0 && part != 1) {
    throw Error(kPlace, "held-out captions have the parts 0 and 1, not " + std::to_string(part));
  }
  return draw_captions(n, seed, [part](const std::string& text) { return find(text).part == part; });
}

std::vector<std::string> train_captions(int n, std::uint64_t seed) {
  return draw_captions(n, seed, [](const std::string& text) { return !held_out(text); });
}

}  // namespace thalweg::moving_scenes
