// Jobs, events and lists as clients see them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipelines/service/api/service.h"

namespace thalweg::service {

/// Ours: "alignment.job", all fields; the job's own JSON and its result `in_full` alone.
Json job_view(Service& service, const JobRow& row, bool in_full);
/// The same as OpenAI's "fine_tuning.job".
Json fine_tuning_view(Service& service, const JobRow& row);
/// "fine_tuning.job.event".
Json event_view(const EventRow& row);

/// {"object": "list", "data", "has_more", "first_id", "last_id"}; `rows` has one more than `limit` where
/// there are more.
template <typename T>
Json list_view(std::vector<T> rows, size_t limit, const std::function<Json(const T&)>& view) {
  const bool has_more = rows.size() > limit;
  if (has_more) rows.resize(limit);
  Json data = Json::array();
  for (const auto& row : rows) data.push_back(view(row));
  Json list = {{"object", "list"}, {"data", data}, {"has_more", has_more}};
  list["first_id"] = data.empty() ? Json() : data.front().value("id", Json());
  list["last_id"] = data.empty() ? Json() : data.back().value("id", Json());
  return list;
}

/// `limit` of a query: 1 to 100, 20 where it is not given. Throws ApiError (400).
int64_t limit_of(const Request& request);
/// A number of a query that is not negative. Throws ApiError (400).
int64_t number_of(const Request& request, const std::string& name, int64_t otherwise);
/// Throws ApiError (400) for a query that the route does not read.
void require_known_query(const Request& request, const std::vector<std::string>& known);
/// The same for a key of a body.
void require_known_keys(const Json& body, const std::vector<std::string>& known);
/// The body as an object. Throws Error or ApiError (400).
Json object_of(const Request& request);

}  // namespace thalweg::service
