#include "pipelines/service/jobs/ending.h"

#include <string>

namespace thalweg::service {
namespace {

constexpr int kDone = 0, kUserError = 2, kStopped = 3;  // the program's own

Json error(const char* code, const std::string& message, const std::string& param = "") {
  return {{"code", code}, {"message", message}, {"param", param.empty() ? Json() : Json(param)}};
}

std::string text_in(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object.at(key).is_string()
             ? object.at(key).get<std::string>()
             : "";
}

/// Of result.json, or of its last word.
Json told_error(const RunEnd& end, const char* code) {
  if (end.result.is_object() && end.result.contains("error"))
    return error(code, text_in(end.result.at("error"), "message"), text_in(end.result.at("error"), "param"));
  return error(code, text_in(end.said, "message"), text_in(end.said, "place"));
}

Ending stopped(const RunEnd& end) {
  if (end.wish == Wish::pause) return {State::paused};
  if (end.stopping) return {State::queued};
  const auto why = text_in(end.result, "paused");
  return {State::paused, error("paused", why.empty() ? "the run was stopped from outside" : why)};
}

}  // namespace

Ending ending_of(const RunEnd& end) {
  // A run that came to its end in the very moment did what was asked of it first.
  if (end.code == kDone) return {State::succeeded};
  if (end.wish == Wish::cancel) return {State::cancelled};
  if (end.code == kStopped) return stopped(end);
  if (end.code == kUserError) return {State::failed, told_error(end, "invalid_job")};
  if (end.disk_full)
    return {State::paused, error("disk_full", "the disk is full; the job goes on once there is space")};
  if (!end.said.is_null()) return {State::failed, told_error(end, "run_failed")};
  if (end.wish == Wish::pause) return {State::paused};
  if (end.stopping) return {State::queued};
  const auto how = end.code > 128 ? "the run's process died of signal " + std::to_string(end.code - 128)
                                  : "the run's process ended with code " + std::to_string(end.code);
  if (end.faults_left > 0) return {State::queued, error("worker_died", how + "; it is begun again"), true};
  auto told = told_error(end, "worker_died");
  if (text_in(told, "message").empty()) told = error("worker_died", how);
  return {State::failed, told, true};
}

}  // namespace thalweg::service
