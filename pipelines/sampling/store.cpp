#include "pipelines/sampling/store.h"

#include <stdexcept>
#include <utility>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/io/checkpoint.h"
#include "engine/weights/safetensors.h"
#include "pipelines/resume.h"

namespace thalweg {
namespace {

constexpr const char* kTensorsFile = "samples.safetensors";

std::filesystem::path parts_of(const std::filesystem::path& output) {
  return output / "parts";
}

std::vector<Drawn> read_part(const std::filesystem::path& part) try {
  const auto tensors = read_safetensors(part / kTensorsFile).tensors;
  const auto states = read_state(part);
  std::vector<Drawn> all;
  for (const auto& state : states.at("drawn")) all.push_back(drawn_from(state, tensors));
  return all;
} catch (const Json::exception&) {
  throw Error(part.string(), "was not written by this program; remove it");
} catch (const std::out_of_range&) {
  throw Error(part.string(), "was not written by this program; remove it");
}

}  // namespace

void describe_checkpoint(Fields& f, double& every_s) {
  f.object({"checkpoint", "when what is done is kept, so that a stopped or killed run goes on from there"},
           [&](Fields& c) {
             c.number({"every_seconds", "seconds between two savings; 0: after each micro-batch"}, every_s,
                      0.0, 1e6);
           });
}

DrawnStore::DrawnStore(const std::filesystem::path& output, std::function<Json()> identity, double every_s,
                       std::function<void(const std::vector<const Drawn*>&)> sync)
    : folder_(parts_of(output)),
      ask_identity_(std::move(identity)),
      every_s_(every_s),
      saved_at_(wall_seconds()),
      sync_(std::move(sync)) {}

void DrawnStore::require_own(const std::filesystem::path& output, const std::function<Json()>& identity) {
  require_own_checkpoints(parts_of(output), identity);
}

bool DrawnStore::is_there(const std::filesystem::path& output) {
  return !list_checkpoints(parts_of(output)).empty();
}

std::vector<Event> DrawnStore::load(const Observer& observer, const std::function<bool(const Drawn&)>& kept) {
  std::vector<Event> events;
  std::filesystem::path whole;
  remove_abandoned(folder_);
  for (const auto& part : list_checkpoints(folder_)) {
    next_part_ = checkpoint_number(part) + 1;
    if (const auto problem = verify_checkpoint(part); !problem.empty()) {
      events.push_back(damaged_checkpoint(part, problem));
      continue;
    }
    for (auto& drawn : read_part(part))
      if (kept(drawn)) drawn_[drawn.first] = std::move(drawn);
    whole = part;
  }
  if (whole.empty()) return events;
  if (auto event = other_processor(whole)) events.push_back(std::move(*event));
  identity_ = ask_identity_();
  if (const auto line = changed_settings(whole, identity_); !line.empty()) observer.message(line);
  return events;
}

void DrawnStore::add(Drawn drawn) {
  const std::lock_guard lock(mutex_);
  pending_.push_back(drawn.first);
  drawn_[drawn.first] = std::move(drawn);
  if (wall_seconds() - saved_at_ >= every_s_) save_pending();
}

void DrawnStore::save() {
  const std::lock_guard lock(mutex_);
  save_pending();
}

void DrawnStore::save_pending() {
  if (pending_.empty()) return;
  if (identity_.is_null()) identity_ = ask_identity_();
  CheckpointWriter writer(folder_, next_part_);
  std::vector<const Drawn*> pending;
  for (const auto first : pending_) pending.push_back(&drawn_.at(first));
  sync_(pending);
  TensorMap tensors;
  Json states = Json::array();
  for (const auto first : pending_) {
    const auto& drawn = drawn_.at(first);
    tensors.merge(tensors_of(drawn));
    states.push_back(state_of(drawn));
  }
  write_safetensors(writer.path(kTensorsFile), tensors);
  writer.commit({{"drawn", std::move(states)}}, identity_);
  ++next_part_;
  pending_.clear();
  saved_at_ = wall_seconds();
}

std::vector<int64_t> DrawnStore::missing(int64_t total, int64_t micro_batch, int64_t offset) const {
  const std::lock_guard lock(mutex_);
  std::vector<int64_t> firsts;
  for (int64_t first = 0; first < total; first += micro_batch)
    if (!drawn_.contains(offset + first)) firsts.push_back(first);
  return firsts;
}

std::vector<Drawn> DrawnStore::sorted() const {
  const std::lock_guard lock(mutex_);
  std::vector<Drawn> all;
  for (const auto& [first, drawn] : drawn_) all.push_back(drawn);
  return all;
}

void DrawnStore::remove(const std::filesystem::path& output) {
  remove_path(parts_of(output));
}

}  // namespace thalweg
