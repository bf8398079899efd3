// What a job of the service may be, and what may follow.
#pragma once

#include <string>

namespace thalweg::service {

/// By OpenAI's names of fine-tuning jobs; "validating_files" is none of them: a job is checked before it is
/// accepted.
enum class State { queued, running, paused, succeeded, failed, cancelled };

/// What a client asked of a job that is being worked on.
enum class Wish { none, pause, cancel };

/// Where a job waits: behind others, or as one whose client waits for its answer.
enum class Lane { batch, interactive };

std::string name_of(State state);
std::string name_of(Wish wish);
std::string name_of(Lane lane);
/// Throw Error for a name that is none.
State state_of(const std::string& name);
Wish wish_of(const std::string& name);
Lane lane_of(const std::string& name);

/// succeeded, failed and cancelled are the end.
bool is_over(State state);

/// Whether `to` may follow `from`; a state may not follow itself.
bool may_follow(State from, State to);

}  // namespace thalweg::service
