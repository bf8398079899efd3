#include "pipelines/service/api/views.h"

#include <charconv>

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace thalweg::service {
namespace {

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json value_at(const Json& json, const std::string& pointer) {
  const Json::json_pointer place(pointer);
  return json.contains(place) ? json.at(place) : Json();
}

/// When a training run will be done, by the pace of its last rows.
Json estimated_finish(Service& service, const JobRow& row) {
  const auto total = value_at(row.job, "/iterations");
  if (row.state != State::running || !total.is_number_integer()) return {};
  const Json *last = nullptr, *first = nullptr;
  const auto events = events_before(service.store.read(), row.id, 0, 50);
  for (const auto& event : events) {
    if (event.type != "metrics" || event.data.value("kind", "") != "train") continue;
    if (last == nullptr) last = &event.data;
    first = &event.data;
  }
  if (last == nullptr || last == first) return {};
  const double steps = last->value("step", 0.0) - first->value("step", 0.0);
  const double seconds = last->value("time_s", 0.0) - first->value("time_s", 0.0);
  if (!(steps > 0.0) || !(seconds > 0.0)) return {};
  return now() + static_cast<int64_t>(seconds / steps * (total.get<double>() - last->value("step", 0.0)));
}

/// What of the run's folder is a model that others load.
Json model_of(Service& service, const JobRow& row) {
  if (row.state != State::succeeded) return {};
  for (const char* name : {"pytorch_lora_weights.safetensors", "model"})
    if (std::filesystem::exists(service.store.run_folder(row.id) / name)) return row.id + "/" + name;
  return {};
}

}  // namespace

Json job_view(Service& service, const JobRow& row, bool in_full) {
  Json view = {{"id", row.id},
               {"object", "alignment.job"},
               {"status", name_of(row.state)},
               {"wish", row.wish == Wish::none ? Json() : Json(name_of(row.wish))},
               {"kind", value_at(row.job, "/job")},
               {"model", value_at(row.job, "/model/path")},
               {"method", value_at(row.job, "/method/name")},
               {"created_at", row.created_at},
               {"started_at", or_null(row.started_at)},
               {"finished_at", or_null(row.finished_at)},
               {"estimated_finish", estimated_finish(service, row)},
               {"priority", row.priority},
               {"lane", name_of(row.lane)},
               {"attempts", row.attempts},
               {"queue_position", or_null(service.store.queue_position(row))},
               {"progress", service.supervisor.progress(row.id)},
               {"error", row.error},
               {"metadata", row.metadata}};
  if (!in_full) return view;
  view["trained_model"] = model_of(service, row);
  view["result"] = service.store.run_result(row.id);
  view["job"] = row.job;
  return view;
}

Json fine_tuning_view(Service& service, const JobRow& row) {
  const auto& request = row.request;
  const auto asked = [&](const char* key) {
    return request.is_object() ? request.value(key, Json()) : Json();
  };
  const auto model = asked("model");
  return {{"id", row.id},
          {"object", "fine_tuning.job"},
          {"status", name_of(row.state)},
          {"created_at", row.created_at},
          {"finished_at", or_null(row.finished_at)},
          {"estimated_finish", estimated_finish(service, row)},
          {"model", model.is_null() ? value_at(row.job, "/model/path") : model},
          {"fine_tuned_model", model_of(service, row)},
          {"organization_id", "thalweg"},
          {"result_files", Json::array()},
          {"training_file",
           asked("training_file").is_null() ? value_at(row.job, "/prompts/train") : asked("training_file")},
          {"validation_file", asked("validation_file")},
          {"hyperparameters",
           {{"n_epochs", value_at(row.job, "/iterations")},
            {"batch_size", value_at(row.job, "/method/prompts_per_iteration")},
            {"learning_rate_multiplier", nullptr}}},
          {"method", asked("method")},
          {"trained_tokens", nullptr},
          {"integrations", Json::array()},
          {"seed", row.job.value("seed", Json(0))},
          {"error", row.error},
          {"metadata", row.metadata}};
}

Json event_view(const EventRow& row) {
  return {{"id", "ftevent-" + std::to_string(row.number)},
          {"object", "fine_tuning.job.event"},
          {"created_at", row.created_at},
          {"level", row.level},
          {"type", row.type == "metrics" ? "metrics" : "message"},
          {"kind", row.type},
          {"message", row.message},
          {"data", row.data.is_null() ? Json::object() : row.data}};
}

int64_t number_of(const Request& request, const std::string& name, int64_t otherwise) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return otherwise;
  int64_t value = 0;
  const auto* end = found->second.data() + found->second.size();
  const auto [stop, code] = std::from_chars(found->second.data(), end, value);
  if (code != std::errc() || stop != end || value < 0)
    throw ApiError(400, "invalid_value", "must be a whole number that is not negative", name);
  return value;
}

int64_t limit_of(const Request& request) {
  const auto limit = number_of(request, "limit", 20);
  if (limit < 1 || limit > 100) throw ApiError(400, "invalid_value", "must be from 1 to 100", "limit");
  return limit;
}

void require_known_query(const Request& request, const std::vector<std::string>& known) {
  for (const auto& [name, value] : request.query) {
    const bool is_metadata = name.starts_with("metadata[") && name.ends_with("]");
    bool found = false;
    for (const auto& word : known) found = found || word == name || (is_metadata && word == "metadata[...]");
    if (!found)
      throw ApiError(400, "unknown_query",
                     known.empty() ? "nothing may be asked for here" : "known here: " + join(known), name);
  }
}

void require_known_keys(const Json& body, const std::vector<std::string>& known) {
  for (const auto& [key, value] : body.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw ApiError(400, "unknown_parameter", "this is not read here", "/" + key);
}

Json object_of(const Request& request) {
  if (request.body.empty()) return Json::object();
  auto body = parse_json(request.body, "body");
  if (!body.is_object()) throw ApiError(400, "invalid_value", "the body must be a JSON object");
  return body;
}

}  // namespace thalweg::service
