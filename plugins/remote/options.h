// The configuration of a remote reward: see README.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "budget.h"
#include "client.h"
#include "engine/core/json.h"
#include "http.h"
#include "judge.h"

namespace remote {

struct ExpectOptions {
  std::string id, version, weights_sha256;  // "": whatever it is
};

struct RewardProtocolOptions {
  std::string format = "png";  // or "raw": float32
  ExpectOptions expect = {};
};

struct ChatOptions {
  std::string model, template_file, system_file, criteria;
  ParseOptions parse;
  int64_t frames = 8;  // of a video, at most
  bool both_orders = true, both_orders_said = false;
  double temperature = 0.0;
  int64_t max_completion_tokens = 1;
  std::string token_limit_field = "max_completion_tokens";
  int64_t top_logprobs = 20;
  bool send_seed = false;
  std::string detail;  // of pictures; "": not said
  int64_t tokens_per_picture = 1500;
  double input_price = 0, output_price = 0;  // of a million tokens
  thalweg::Json extra_body = thalweg::Json::object();
};

struct FlowFactoryOptions {
  int64_t batch = 8;
};

struct Options {
  std::string protocol = "thalweg-reward/1";
  RewardProtocolOptions reward;
  ChatOptions chat;
  FlowFactoryOptions flow_factory;
  std::string url;
  std::vector<std::string> allow_hosts;
  std::string api_key_env, api_key_file;
  HttpOptions http;
  ClientOptions client;
  double batch_s = 300.0;
  Caps caps;
  std::string cache_file;
  int64_t cache_mib = 1024;
};

/// Throws thalweg::Error at the JSON pointer within the configuration.
Options read_options(std::string_view config_json);

}  // namespace remote
