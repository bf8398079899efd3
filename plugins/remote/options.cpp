#include "options.h"

#include "engine/core/error.h"
#include "engine/core/fields.h"

namespace remote {
namespace {

using thalweg::Error;
using thalweg::Fields;

constexpr int64_t kMany = int64_t{1} << 53;

void describe_reward(Fields& f, RewardProtocolOptions& o) {
  f.choice({"format", "8-bit PNG files, or float32 as they are"}, o.format, {"png", "raw"});
  f.object({"expect", "what the server must say of itself"}, [&](Fields& g) {
    g.text({"id", "its id"}, o.expect.id);
    g.text({"version", "its version"}, o.expect.version);
    g.text({"weights_sha256", "of its weights"}, o.expect.weights_sha256);
  });
}

void describe_chat(Fields& f, ChatOptions& o) {
  f.text({"model", "the judge, as the server names it", true}, o.model);
  f.text({"template", "file of the question, with slots", true}, o.template_file);
  f.text({"system", "file of the system's message"}, o.system_file);
  f.text({"criteria", "for the slot {criteria}"}, o.criteria);
  f.object({"parse", "how the answer becomes a score"}, [&](Fields& g) { describe(g, o.parse); });
  f.integer({"frames", "of a video, at most"}, o.frames, 1, 256);
  f.boolean({"both_orders", "ask for the reference against the picture, too"}, o.both_orders);
  f.number({"temperature", "of sampling"}, o.temperature, 0.0, 2.0);
  f.integer({"max_completion_tokens", "length of the answer"}, o.max_completion_tokens, 1, 100000);
  f.choice({"token_limit_field", "the server's word for that"}, o.token_limit_field,
           {"max_completion_tokens", "max_tokens"});
  f.integer({"top_logprobs", "likeliest tokens to send"}, o.top_logprobs, 1, 20);
  f.boolean({"send_seed", "send the sample's seed"}, o.send_seed);
  f.choice({"detail", "of pictures"}, o.detail, {"", "auto", "low", "high"});
  f.integer({"tokens_per_picture", "at most, for what is set aside"}, o.tokens_per_picture, 1, 1000000);
  f.object({"prices", "of a million tokens"}, [&](Fields& g) {
    g.number({"input", "of the question"}, o.input_price, 0.0, 1e6);
    g.number({"output", "of the answer"}, o.output_price, 0.0, 1e6);
  });
  f.foreign({"extra_body", "more keys of the request, as they are"}, o.extra_body);
}

void describe_server(Fields& f, Options& o) {
  f.text({"url", "of the server, without what the protocol adds", true}, o.url);
  f.texts({"allow_hosts", "the URL's host, where it may be private or without TLS"}, o.allow_hosts);
  f.text({"api_key_env", "variable of the environment with the key"}, o.api_key_env);
  f.text({"api_key_file", "file with the key, of mode 600"}, o.api_key_file);
  f.text({"ca_file", "certificates to trust in place of the system's"}, o.http.ca_file);
  f.object({"timeouts", "in seconds"}, [&](Fields& g) {
    g.number({"connect_s", "of a connection"}, o.http.connect_s, 0.01, 600.0);
    g.number({"request_s", "of a request"}, o.client.request_s, 0.01, 3600.0);
    g.number({"batch_s", "of a call"}, o.batch_s, 0.01, 86400.0);
  });
  int64_t retries = o.client.retries, concurrency = o.client.concurrency,
          reply_mib = o.http.max_reply_bytes >> 20;
  f.integer({"retries", "of a request"}, retries, 0, 20);
  f.integer({"concurrency", "requests at once"}, concurrency, 1, 256);
  f.integer({"max_reply_mib", "largest reply"}, reply_mib, 1, 1024);
  o.client.retries = static_cast<int>(retries);
  o.client.concurrency = static_cast<int>(concurrency);
  o.http.max_reply_bytes = reply_mib << 20;
}

void describe_limits(Fields& f, Options& o) {
  f.object({"rate", "a minute; 0: not limited"}, [&](Fields& g) {
    g.number({"requests_per_minute", "requests"}, o.client.requests_per_minute, 0.0, 1e9);
    g.number({"tokens_per_minute", "tokens"}, o.client.tokens_per_minute, 0.0, 1e12);
  });
  f.object({"limits", "of all that is sent; 0: none"}, [&](Fields& g) {
    g.integer({"max_requests", "requests"}, o.caps.requests, 0, kMany);
    g.integer({"max_tokens", "tokens"}, o.caps.tokens, 0, kMany);
    g.number({"max_cost", "in the unit of the prices"}, o.caps.cost, 0.0, 1e12);
  });
  f.object({"cache", "of answers"}, [&](Fields& g) {
    g.text({"file", "SQLite file; in memory where it is absent"}, o.cache_file);
    g.integer({"max_mib", "its size"}, o.cache_mib, 1, int64_t{1} << 20);
  });
}

void check_caps(const Options& o) {
  const bool chat = o.protocol == "chat";
  if (o.caps.tokens != 0 && !chat) throw Error("/limits/max_tokens", "only servers of \"chat\" count tokens");
  if (o.client.tokens_per_minute != 0 && !chat)
    throw Error("/rate/tokens_per_minute", "only servers of \"chat\" count tokens");
  if (o.caps.cost != 0 && !(chat && o.chat.input_price + o.chat.output_price > 0))
    throw Error("/limits/max_cost", "needs \"prices\" (of \"chat\"), else nothing costs anything");
}

}  // namespace

Options read_options(std::string_view config_json) {
  Options o;
  const auto config = thalweg::parse_json(config_json, "");
  o.chat.both_orders_said = config.is_object() && config.contains("both_orders");
  thalweg::read_fields(config, "", [&](Fields& f) {
    f.variant({"protocol", "what the server speaks"}, o.protocol,
              {{"thalweg-reward/1", "our own", [&](Fields& g) { describe_reward(g, o.reward); }},
               {"chat", "OpenAI-compatible chat completions", [&](Fields& g) { describe_chat(g, o.chat); }},
               {"flow_factory", "Flow-Factory's reward server", [&](Fields& g) {
                  g.integer({"batch", "samples a request"}, o.flow_factory.batch, 1, 4096);
                }}});
    describe_server(f, o);
    describe_limits(f, o);
  });
  check_caps(o);
  return o;
}

}  // namespace remote
