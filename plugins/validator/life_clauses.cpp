// What a reward says of itself, and the life of its instances.
#include <set>

#include "engine/core/json.h"
#include "plugins/validator/clauses.h"
#include "plugins/validator/compare.h"
#include "plugins/validator/leftovers.h"
#include "rewards/text.h"

namespace thalweg::validator {
namespace {

constexpr const char* kUnknownKey = "there_is_no_such_key";
constexpr uint64_t kInputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_LATENTS | THALWEG_INPUT_PROMPTS |
                             THALWEG_INPUT_REFERENCE | THALWEG_INPUT_MASK | THALWEG_INPUT_METADATA;

void descriptor_texts(Subject& s) {
  const auto& d = s.descriptor();
  const std::pair<const char*, const char*> texts[] = {{"name", d.name},
                                                       {"vendor", d.vendor},
                                                       {"version", d.version},
                                                       {"description", d.description},
                                                       {"paper_url", d.paper_url}};
  for (const auto& [what, text] : texts)
    require(text != nullptr && is_clean_text(text), std::string(what) + " is NULL or not clean UTF-8");
  for (auto f = d.features; f != nullptr && *f != nullptr; ++f)
    require(is_clean_text(*f), "a feature is not clean UTF-8");
}

void descriptor_abi(Subject& s) {
  require(s.descriptor().abi.major == s.entry().abi.major, "its major version is not the entry's");
}

void descriptor_inputs(Subject& s) {
  const auto& d = s.descriptor();
  require((s.inputs() & ~kInputs) == 0, "bits that mean nothing are set");
  require((d.required_inputs & d.optional_inputs) == 0, "an input is both required and optional");
  require((d.required_inputs & (THALWEG_INPUT_FRAMES | THALWEG_INPUT_LATENTS | THALWEG_INPUT_PROMPTS)) != 0,
          "it requires neither frames nor latents nor prompts, so there is nothing to score");
}

void descriptor_devices(Subject& s) {
  const auto devices = s.descriptor().devices;
  require(devices != 0 && (devices & ~(THALWEG_ON_CPU | THALWEG_ON_CUDA)) == 0,
          "no device is set, or bits that mean nothing");
}

void descriptor_dimensions(Subject& s) {
  const auto& d = s.descriptor();
  require(d.reserved == 0, "reserved is not 0");
  require(d.num_dimensions <= 65536 && (d.num_dimensions == 0 || d.dimension_names != nullptr),
          "num_dimensions and dimension_names do not agree");
  std::set<std::string> seen;
  for (uint32_t k = 0; k < d.num_dimensions; ++k) {
    const char* name = d.dimension_names[k];
    require(name != nullptr && *name != '\0' && is_clean_text(name) && seen.insert(name).second,
            "the name of dimension " + std::to_string(k) + " is NULL, empty, taken or not clean UTF-8");
  }
}

void create_and_init(Subject& s) {
  const Instance instance(s);
  require(instance.table().desc != nullptr && s.reward_id == instance.table().desc->id,
          "desc of the instance is not the descriptor of the reward");
}

void destroy_unused(Subject& s) {
  for (int i = 0; i < 3; ++i) const Instance instance(s);
}

void activates(Subject& s) {
  Instance instance(s);
  instance.activate();
}

void dimensions(Subject& s) {
  Instance instance(s);
  const auto names = instance.activate().dimensions();
  require(std::set<std::string>(names.begin(), names.end()).size() == names.size(), "two have the same name");
}

void dimensions_fixed(Subject& s) {
  Instance instance(s);
  const auto names = instance.activate().dimensions();
  first_scores(s, instance);
  require(instance.read_dimensions() == names, "another number, or other names, after score");
}

/// The options' configuration with a key that nothing can know.
std::string spoilt(const Subject& s) {
  auto config = parse_json(s.options.config, "config");
  config[kUnknownKey] = 1;
  return config.dump();
}

void unknown_key(Subject& s) {
  Instance instance(s);
  const auto wrong = instance.try_activate(spoilt(s));
  require(!wrong.empty(), std::string("it accepted the key ") + kUnknownKey);
  require(wrong.rfind("activate returned invalid argument", 0) == 0, wrong + ", not INVALID_ARGUMENT");
  const auto pointer = std::string("/") + kUnknownKey + ": ";
  require(instance.host().text().rfind(pointer, 0) == 0, "the text does not begin with the JSON pointer \"" +
                                                             pointer +
                                                             "\" but says: " + instance.host().text());
}

void activate_after_failure(Subject& s) {
  Instance spoilt_first(s), fresh(s);
  if (spoilt_first.try_activate(spoilt(s)).empty()) throw Skip("no configuration is refused");
  spoilt_first.activate();
  fresh.activate();
  require_same(s, fresh, first_scores(s, fresh), first_scores(s, spoilt_first), 0.0, "in a fresh instance",
               "in one whose first activation failed");
}

void activate_again(Subject& s) {
  Instance instance(s);
  instance.activate();
  const auto first = first_scores(s, instance);
  instance.deactivate();
  instance.activate();
  require_same(s, instance, first, first_scores(s, instance), 0.0, "the first time",
               "after deactivate and activate");
}

void two_instances(Subject& s) {
  Instance one(s);
  one.activate();
  const auto alone = first_scores(s, one);
  {
    Instance two(s);
    two.activate();
    require_same(s, one, alone, first_scores(s, two), 0.0, "in one instance", "in another");
    require_same(s, one, alone, first_scores(s, one), 0.0, "alone", "beside another instance");
  }
  require_same(s, one, alone, first_scores(s, one), 0.0, "alone", "after another instance was destroyed");
}

void smaller_activation(Subject& s) {
  Instance instance(s);
  s.trying("given an activation of ABI 0.1, which ends behind `assets_dir`");
  instance.try_activate(s.options.config, THALWEG_ACTIVATION_SIZE_0_1);
  instance.deactivate();
}

void unknown_extension(Subject& s) {
  const Instance instance(s);
  const auto& r = instance.table();
  const void* table =
      s.guarded("get_extension", [&] { return r.get_extension(&r, "thalweg.no-such-extension/1"); });
  require(table == nullptr, "it gave something for thalweg.no-such-extension/1");
}

}  // namespace

const std::vector<Clause>& descriptor_clauses() {
  static const std::vector<Clause> all = {
      {"descriptor.texts", "descriptor.h", "has texts that are not NULL and clean UTF-8", nullptr,
       descriptor_texts},
      {"descriptor.abi", "descriptor.h", "has the entry's major version", nullptr, descriptor_abi},
      {"descriptor.inputs", "descriptor.h", "declares inputs that exist, required or optional", nullptr,
       descriptor_inputs},
      {"descriptor.devices", "descriptor.h", "declares devices that exist", nullptr, descriptor_devices},
      {"descriptor.dimensions", "descriptor.h", "lists as many names as dimensions; reserved is 0", nullptr,
       descriptor_dimensions}};
  return all;
}

const std::vector<Clause>& life_clauses() {
  static const std::vector<Clause> all = {
      {"life.init", "reward.h", "can be created and initialised", nullptr, create_and_init},
      {"life.destroy-unused", "reward.h", "can be destroyed without having been active, again and again",
       "life.init", destroy_unused},
      {"extension.unknown", "reward.h", "knows no extension of an id that does not exist", "life.init",
       unknown_extension},
      {"life.activate", "reward.h", "can be activated with the configuration given", "life.init", activates},
      {"life.dimensions", "reward.h", "has one dimension or more, each with a name of its own",
       "life.activate", dimensions},
      {"config.unknown-key", "request.h", "refuses an unknown key of its configuration, at its JSON pointer",
       "life.activate", unknown_key},
      {"activation.size", "request.h", "reads no field of an activation beyond its size", "life.activate",
       smaller_activation}};
  return all;
}

const std::vector<Clause>& reuse_clauses() {
  static const std::vector<Clause> all = {
      {"life.dimensions-fixed", "reward.h", "keeps its dimensions while it is active", "score.runs",
       dimensions_fixed},
      {"life.activate-after-failure", "reward.h", "can be activated after a failed activation",
       "score.determinism", activate_after_failure},
      {"life.activate-again", "reward.h", "can be activated again, and scores the same", "score.determinism",
       activate_again},
      {"life.two-instances", "host.h", "keeps instances apart", "score.determinism", two_instances},
      {"life.nothing-left", "reward.h", "gives back files, threads and memory", "score.determinism",
       nothing_left}};
  return all;
}

}  // namespace thalweg::validator
