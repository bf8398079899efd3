#include "rewards/running_calls.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>

#include "rewards/text.h"

namespace thalweg {
namespace {

constexpr size_t kSlots = 64, kName = 64;

enum State : uint32_t { kFree, kWriting, kRunning };

struct Slot {
  std::atomic<uint32_t> state{kFree};
  std::atomic<int64_t> since_ns{0};
  char plugin[kName] = {}, function[kName] = {};
};
static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free,
              "locks mean nothing to another process");

using Slots = std::array<Slot, kSlots>;

Slots& slots() {
  static Slots* const shared = [] {
    void* memory = ::mmap(nullptr, sizeof(Slots), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? new Slots : new (memory) Slots;  // then nobody else sees them
  }();
  return *shared;
}

int64_t now_ns() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void copy(char (&to)[kName], std::string_view from) {
  const size_t size = std::min(from.size(), kName - 1);
  std::memcpy(to, from.data(), size);
  to[size] = '\0';
}

std::string name_in(const char (&text)[kName]) {
  char ended[kName];
  std::memcpy(ended, text, kName);
  ended[kName - 1] = '\0';
  return clean_text(ended);
}

}  // namespace

void share_running_calls() {
  slots();
}

ListedCall::ListedCall(std::string_view plugin, std::string_view function) {
  for (auto& slot : slots()) {
    uint32_t free = kFree;
    if (!slot.state.compare_exchange_strong(free, kWriting)) continue;
    copy(slot.plugin, plugin);
    copy(slot.function, function);
    slot.since_ns.store(now_ns());
    slot.state.store(kRunning);
    slot_ = &slot;
    return;
  }
}

ListedCall::~ListedCall() {
  if (slot_ != nullptr) static_cast<Slot*>(slot_)->state.store(kFree);
}

std::vector<RunningCall> running_calls() {
  std::vector<RunningCall> calls;
  for (const auto& slot : slots()) {
    if (slot.state.load() != kRunning) continue;
    const int64_t since = slot.since_ns.load();
    RunningCall call{name_in(slot.plugin), name_in(slot.function),
                     static_cast<double>(now_ns() - since) * 1e-9};
    // The slot may have been taken by the next call meanwhile.
    if (slot.state.load() == kRunning && slot.since_ns.load() == since) calls.push_back(std::move(call));
  }
  return calls;
}

std::string described(const std::vector<RunningCall>& calls) {
  std::string text;
  for (const auto& call : calls)
    text += (text.empty() ? "the reward \"" : ", the reward \"") + call.plugin + "\" was in " + call.function;
  return text;
}

}  // namespace thalweg
