#include "pipelines/service/client.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "pipelines/service/http/ask.h"

namespace thalweg::service {
namespace {

constexpr size_t kMostJobBytes = size_t{4} << 20;
constexpr int kNotSucceeded = 1;

Server server_at(const std::string& url) {
  const char* key = std::getenv("THALWEG_API_KEY");  // a command line is seen by all
  return {url, key == nullptr ? "" : key};
}

/// What the service said; its refusals as errors of ours.
Json good(const Answer& answer) {
  const auto body = answer.body.empty() ? Json() : parse_json(answer.body, "the service's answer");
  if (answer.status < 400) return body;
  const auto error = body.is_object() ? body.value("error", Json::object()) : Json::object();
  const auto param = error.value("param", Json());
  throw Error(param.is_string() ? param.get<std::string>() : "",
              error.value("message", "status " + std::to_string(answer.status)));
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

void show(const Json& job) {
  std::printf("%-32s %-10s %-12s %-20s %s\n", text_of(job.at("id")).c_str(),
              text_of(job.at("status")).c_str(), text_of(job.at("kind")).c_str(),
              text_of(job.at("method")).c_str(), text_of(job.at("model")).c_str());
}

/// "[info] the run begins", and of numbers the reward alone.
void show_event(const Json& event) {
  auto line = event.value("message", "");
  const auto data = event.value("data", Json::object());
  if (data.contains("reward")) line += ": reward " + data.at("reward").dump();
  std::cout << "[" << event.value("level", "") << "] " << line << std::endl;
}

}  // namespace

ClientCommand::ClientCommand(CLI::App& app) {
  const auto add = [&](const char* name, const char* text) {
    auto* command = app.add_subcommand(name, text);
    command->add_option("--server", server_, "http://HOST:PORT or unix:PATH; the key is in THALWEG_API_KEY")
        ->envname("THALWEG_SERVER")
        ->default_val("http://127.0.0.1:8080");
    command->add_flag("--json", as_json_, "what the service answers, as it is");
    command->callback([this, name] { action_ = name; });
    return command;
  };
  auto* submit = add("submit", "hand a job to the service");
  submit->add_option("job", job_, "job file (JSON)")->required();
  submit->add_option("--priority", priority_, "higher runs first");
  submit->add_option("--metadata", metadata_, "NAME=VALUE, kept with the job");
  submit->add_flag("--watch", watches_, "and follow it to its end");
  add("jobs", "list the service's jobs")->add_option("--status", status_, "of this state");
  for (const auto& [name, text] : {std::pair{"watch", "follow a job to its end"},
                                   {"pause", "pause a job at its next checkpoint"},
                                   {"resume", "queue a paused job again"},
                                   {"cancel", "end a job for good"}})
    add(name, text)->add_option("id", id_, "of the job")->required();
}

int ClientCommand::run() const {
  if (action_ == "submit") return submit();
  if (action_ == "jobs") return list();
  if (action_ == "watch") return watch(id_);
  return act();
}

int ClientCommand::submit() const {
  Json body = {
      {"job", parse_json_file(job_, kMostJobBytes)}, {"priority", priority_}, {"metadata", Json::object()}};
  for (const auto& pair : metadata_) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos) throw Error("--metadata", "must be NAME=VALUE");
    body["metadata"][pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  const auto job = good(ask(server_at(server_), "POST", "/v1/jobs", body.dump()));
  if (as_json_) {
    std::cout << job.dump(2) << std::endl;
  } else {
    show(job);
  }
  return watches_ ? watch(job.at("id").get<std::string>()) : 0;
}

int ClientCommand::list() const {
  const auto answer = good(
      ask(server_at(server_), "GET", "/v1/jobs?limit=100" + (status_.empty() ? "" : "&status=" + status_)));
  if (as_json_) {
    std::cout << answer.dump(2) << std::endl;
    return 0;
  }
  for (const auto& job : answer.at("data")) show(job);
  if (answer.value("has_more", false)) std::cout << "and more before them" << std::endl;
  return 0;
}

int ClientCommand::act() const {
  const auto job = good(ask(server_at(server_), "POST", "/v1/jobs/" + id_ + "/" + action_));
  if (as_json_) {
    std::cout << job.dump(2) << std::endl;
  } else {
    show(job);
  }
  return 0;
}

int ClientCommand::watch(const std::string& id) const {
  good(ask(server_at(server_), "GET", "/v1/jobs/" + id));
  follow(server_at(server_), "/v1/jobs/" + id + "/events?stream=true", "",
         [this](const std::string& kind, const std::string&, const std::string& data) {
           if (kind == "done") return false;
           if (kind == "progress") return true;
           if (as_json_) {
             std::cout << data << std::endl;
           } else {
             show_event(parse_json(data, "event"));
           }
           return true;
         });
  const auto job = good(ask(server_at(server_), "GET", "/v1/jobs/" + id));
  if (!as_json_) show(job);
  return job.value("status", "") == "succeeded" ? 0 : kNotSucceeded;
}

}  // namespace thalweg::service
