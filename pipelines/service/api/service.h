// What the routes work with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pipelines/service/http/router.h"
#include "pipelines/service/jobs/admission.h"
#include "pipelines/service/jobs/checker.h"
#include "pipelines/service/jobs/plugin_shelf.h"
#include "pipelines/service/jobs/supervisor.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

struct Service {
  Store& store;
  Supervisor& supervisor;
  Checker& checker;
  Checker& trials;  ///< the same for rewards that are tried: they may take their time
  PluginShelf& shelf;
  const Policy& policy;
  std::filesystem::path presets;  ///< job files by the name of a model, for fine-tuning requests
  std::string version;
  int64_t workers = 1;
  int64_t max_pending = 10'000;
  bool ready = false;  ///< what an earlier server left is taken up
};

/// One file a group of routes.
void add_job_routes(Router& router, Service& service);
void add_fine_tuning_routes(Router& router, Service& service);
void add_event_routes(Router& router, Service& service);
void add_sample_routes(Router& router, Service& service);
void add_output_routes(Router& router, Service& service);
void add_file_routes(Router& router, Service& service);
void add_plugin_routes(Router& router, Service& service);
void add_reward_routes(Router& router, Service& service);
void add_question_routes(Router& router, Service& service);
void add_operating_routes(Router& router, Service& service);
void add_page_routes(Router& router);

}  // namespace thalweg::service
