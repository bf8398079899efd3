#include "pipelines/stages/reward_lines.h"

#include <thalweg/ext/log.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

namespace thalweg {
namespace {

constexpr size_t kMostLines = 64;  // of a reward
constexpr const char* kTooMany = "has written many lines; the rest is left out";

const char* level_of(int severity) {
  if (severity == THALWEG_LOG_ERROR || severity == THALWEG_LOG_PLUGIN_MISBEHAVING) return "error";
  return severity == THALWEG_LOG_WARNING || severity == THALWEG_LOG_HOST_MISBEHAVING ? "warn" : "info";
}

std::string shown_line(int severity, const std::string& reward, const std::string& text) {
  const std::string level = level_of(severity);
  return (level == "info" ? "" : level + ": ") + reward + ": " + text;
}

Event event_of(int severity, const std::string& reward, const std::string& text) {
  return {level_of(severity), RewardLines::kType, reward + ": " + text, {{"plugin", reward}, {"text", text}}};
}

struct OfReward {
  std::set<std::string> shown;         // in the order in which they came
  std::set<std::string> recorded;      // by earlier calls of take()
  std::map<std::string, int> pending;  // since then, with their severity: the first by the alphabet, since
                                       // a run's record does not depend on which thread was first
  bool too_many = false, said_so = false;

  void keep(int severity, const std::string& text) {
    if (recorded.contains(text)) return;
    auto& worst = pending.try_emplace(text, severity).first->second;
    worst = std::max(worst, severity);
    if (pending.size() <= kMostLines) return;
    pending.erase(std::prev(pending.end()));
    too_many = true;
  }

  void record(const std::string& reward, std::vector<Event>& events) {
    for (const auto& [text, severity] : pending) {
      too_many = too_many || recorded.size() == kMostLines;
      if (recorded.size() == kMostLines) break;
      recorded.insert(text);
      events.push_back(event_of(severity, reward, text));
    }
    pending.clear();
    if (too_many && !said_so) events.push_back(event_of(THALWEG_LOG_WARNING, reward, kTooMany));
    said_so = said_so || too_many;
  }
};

}  // namespace

struct RewardLines::State {
  const Observer* observer = nullptr;  // null once its owner is gone
  const std::thread::id owner = std::this_thread::get_id();
  std::mutex mutex;  // of what follows
  std::map<std::string, OfReward> rewards;
  std::vector<std::string> waiting;  // to be shown

  void add(int severity, const std::string& reward, const std::string& text) {
    if (severity < THALWEG_LOG_INFO) return;
    {
      const std::lock_guard lock(mutex);
      if (observer == nullptr) return;
      auto& of = rewards[reward];
      of.keep(severity, text);
      if (of.shown.size() > kMostLines || !of.shown.insert(text).second) return;
      waiting.push_back(of.shown.size() <= kMostLines ? shown_line(severity, reward, text)
                                                      : shown_line(THALWEG_LOG_WARNING, reward, kTooMany));
    }
    if (std::this_thread::get_id() == owner) show();
  }

  void show() {
    std::vector<std::string> now;
    {
      const std::lock_guard lock(mutex);
      now = std::exchange(waiting, {});
    }
    for (const auto& line : now) observer->message(line);
  }
};

RewardLines::RewardLines(const Observer& observer) : state_(std::make_shared<State>()) {
  state_->observer = &observer;
}

RewardLines::~RewardLines() {
  const std::lock_guard lock(state_->mutex);
  state_->observer = nullptr;
}

RewardLog RewardLines::log() {
  return [state = state_](int severity, const std::string& reward, const std::string& text) {
    state->add(severity, reward, text);
  };
}

void RewardLines::show() {
  state_->show();
}

std::vector<Event> RewardLines::take() {
  show();
  std::vector<Event> events;
  const std::lock_guard lock(state_->mutex);
  for (auto& [reward, of] : state_->rewards) of.record(reward, events);
  return events;
}

void RewardLines::forget(const std::vector<Json>& event_rows) {
  const std::lock_guard lock(state_->mutex);
  for (const auto& row : event_rows) {
    if (row.value("type", "") != kType) continue;
    auto& of = state_->rewards[row.at("data").at("plugin").get<std::string>()];
    const auto text = row.at("data").at("text").get<std::string>();
    if (text == kTooMany) {
      of.said_so = true;
    } else {
      of.recorded.insert(text);
      of.pending.erase(text);
    }
  }
}

}  // namespace thalweg
