#include "pipelines/training/run.h"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/core/clock.h"
#include "engine/optim/gradients.h"
#include "pipelines/report/format.h"

namespace thalweg {

void RunProgress::state(RunState& state) {
  state.integer("next", next);
  state.integer("evaluated", evaluated);
  state.number("held_out", held_out);
  state.integer("best_step", best_step);
  state.number("best_value", best_value);
  state.number("time_s", elapsed_s);
  state.tensors("best", best);
}

TrainingRun::TrainingRun(RunPlan plan, Trainee& trainee, std::optional<Monitors> monitors,
                         const Observer& observer)
    : plan_(std::move(plan)), trainee_(trainee), monitors_(std::move(monitors)), observer_(observer) {
  load();
}

void TrainingRun::load() {
  require_own_checkpoints(plan_.folder, [&] { return plan_.identity; });
  const auto found = find_resumable(plan_.folder, plan_.identity, observer_);
  saved_ = found.checkpoint.has_value();
  if (saved_) {
    StateReader state(*found.checkpoint, plan_.device);
    trainee_.state(state);
    progress_.state(state);
    prune();  // a kill may have come between the last save and this
    observer_.message("resuming at iteration " + std::to_string(progress_.next) + " from " +
                      found.checkpoint->string());
  }
  record_.emplace(plan_.folder, plan_.video, found.checkpoint, progress_.next, progress_.elapsed_s);
  record_->append(progress_.next, found.events);
  if (!saved_) record_->append(0, trainee_.start_events());
  // What the checkpoint holds: what came of it stands in events.jsonl already.
  for (const auto& row : MetricsLog::read_all(plan_.folder / "metrics.jsonl")) {
    if (monitors_) monitors_->observe(row);
    if (plan_.early_stop) plan_.early_stop->observe(row);
  }
  if (is_over() && progress_.next < plan_.iterations)
    observer_.message(
        "early stop: this run has ended after iteration " + std::to_string(progress_.next) +
        ", and more /iterations do not change that; raise /evaluate/early_stop/patience, or leave "
        "early_stop out, and it goes on");
}

void TrainingRun::run() {
  try {
    while (true) {
      if (evaluation_is_due()) evaluate(progress_.next);
      if (progress_.next == self_check_at() || is_over()) check_self();
      if (checkpoint_is_due()) save();
      if (is_over()) break;
      iterate();
    }
  } catch (const Stopped&) {
    // An iteration that was given up before its first update is done again from its start.
    if (!saved_) save();
    throw;
  }
}

bool TrainingRun::is_over() const {
  const auto& early = plan_.early_stop;
  return progress_.next >= plan_.iterations || (early && early->ended() && progress_.next >= *early->ended());
}

bool TrainingRun::evaluation_is_due() const {
  const int64_t step = progress_.next;
  return plan_.evaluate_every > 0 && progress_.evaluated < step &&
         (step % plan_.evaluate_every == 0 || step == plan_.iterations);
}

// The best evaluation's is kept, so there is one.
bool TrainingRun::checkpoint_is_due() const {
  const int64_t step = progress_.next;
  if (saved_ || step == 0) return false;
  const bool best = !progress_.best.empty() && progress_.best_step == step;
  return step % plan_.checkpoint.every == 0 || is_over() || best;
}

void TrainingRun::save() {
  record_->sync();
  CheckpointWriter checkpoint(plan_.folder, progress_.next);
  StateWriter state(checkpoint);
  trainee_.state(state);
  progress_.elapsed_s = record_->elapsed();
  progress_.state(state);
  record_->save(checkpoint);
  checkpoint.commit(state.json(), plan_.identity);
  prune();
  saved_ = true;
  if (progress_.next > 0) trainee_.saved();
}

// Those of the newest `checkpoint.keep` steps stay, and that of the best evaluation.
void TrainingRun::prune() const {
  std::set<int64_t> best;
  if (!progress_.best.empty()) best.insert(progress_.best_step);
  prune_checkpoints(plan_.folder, plan_.checkpoint.keep, best);
}

// What went wrong is on record even when it ends the run.
template <typename Work>
auto TrainingRun::recorded(int64_t step, const Work& work) {
  try {
    return work();
  } catch (const Stopped& stopped) {
    auto events = trainee_.take_events();
    if (stopped.why.empty()) throw;  // it is done again
    events.push_back({"error", "paused", stopped.why, {}});
    record_->append(step, events);
    saved_ = false;  // nor are they
    throw;
  } catch (...) {
    record_->append(step, trainee_.take_events());
    throw;
  }
}

void TrainingRun::iterate() {
  const auto timings_before = trainee_.timings();
  const double wall_before = wall_seconds(), cpu_before = process_seconds();
  const auto metrics = recorded(progress_.next + 1, [&] { return trainee_.iterate(progress_.next); });
  const int64_t done = ++progress_.next;
  saved_ = false;
  auto timings = difference(timings_before, trainee_.timings());
  timings.push_back({"iteration", wall_seconds() - wall_before, process_seconds() - cpu_before});
  const auto row = record_->append(done, "train", metrics, timings);
  record_->append(done, trainee_.take_events());
  monitor(done, row);
  Observer::Values shown;
  for (const auto& [name, value] : metrics)
    if (name == plan_.shown_metric) shown.emplace_back(name, value);
  if (std::isfinite(progress_.held_out)) shown.emplace_back("held-out", progress_.held_out);
  observer_.progress(plan_.phase, done, plan_.iterations, shown);
  if (observer_.stop_requested()) throw Stopped{};
}

void TrainingRun::monitor(int64_t step, const Json& row) {
  if (!monitors_) return;
  auto events = monitors_->observe(row);
  for (const auto& event : events) observer_.message(event.level + ": " + event.message);
  record_->append(step, events);
}

// Scores what chooses the checkpoint; the best parameters are kept.
void TrainingRun::evaluate(int64_t step) {
  const auto evaluation = recorded(step, [&] { return trainee_.evaluate(step); });
  progress_.held_out = evaluation.value;
  progress_.evaluated = step;
  saved_ = false;
  const auto row = record_->append(step, "eval", evaluation.metrics);
  monitor(step, row);
  record_->append(step, trainee_.take_events());
  record_->pictures(step, "step-" + std::to_string(step), evaluation.pictures, observer_);
  observer_.message("iteration " + std::to_string(step) + ": held-out " + evaluation.name + " " +
                    std::to_string(progress_.held_out));
  if (step > 0 && progress_.held_out > progress_.best_value) {
    progress_.best_value = progress_.held_out;
    progress_.best_step = step;
    progress_.best = cloned(trainee_.shown());
  }
  end_early(step, row);
}

void TrainingRun::end_early(int64_t step, const Json& row) {
  auto& early = plan_.early_stop;
  if (!early || early->ended()) return;
  early->observe(row);
  if (!early->ended()) return;
  const Event event{"info",
                    "early_stop",
                    "early stop after iteration " + std::to_string(step) + ": " + early->reason(),
                    {{"best_step", progress_.best_step}}};
  observer_.message(event.message);
  record_->append(step, {event});
}

// Once in a run, also where it is stopped and goes on.
int64_t TrainingRun::self_check_at() const {
  return kSelfCheckAt + (plan_.self_check ? plan_.self_check->waits : 0);
}

void TrainingRun::check_self() {
  if (!plan_.self_check) return;
  for (const auto& row : record_->event_rows())
    if (row.at("type") == kSelfCheck) return;
  const auto rows = MetricsLog::read_all(plan_.folder / "metrics.jsonl");
  auto event = self_check(rows, *plan_.self_check);
  const double left = seconds_left(rows, *plan_.self_check, plan_.iterations, plan_.evaluate_every);
  observer_.message((event.level == "warn" ? "warn: " : "") + event.message + "; " + format_duration(left) +
                    " to the end" + (plan_.early_stop ? " at most" : ""));
  event.data["time_left_s"] = left;
  record_->append(progress_.next, {event});
  saved_ = false;
}

}  // namespace thalweg
