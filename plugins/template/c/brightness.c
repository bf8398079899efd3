// The smallest reward: how bright a picture is, 0 = black to 1 = white. Copy this file, change score().
// One instance needs no data of its own here; see README.md for one that does.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/reward.h>

static const char* const kDimensions[] = {"brightness"};

static const thalweg_reward_descriptor kDescriptor = {
    THALWEG_ABI_VERSION_INIT,
    "org.example.brightness",                   // id: your reverse domain, then a name; never changes
    "Brightness",                               // name
    "Example",                                  // vendor
    "0.1.0",                                    // version
    "Mean of all pixels and channels, 0 to 1",  // description
    "",                                         // paper_url
    NULL,                                       // features
    THALWEG_INPUT_FRAMES,                       // required inputs
    0,                                          // optional inputs
    THALWEG_ON_CPU,                             // devices
    1,                                          // dimensions
    0,
    kDimensions};

typedef struct state {
  thalweg_reward reward;
  const thalweg_host* host;
} state;

static thalweg_status fail(const thalweg_reward* reward, thalweg_status status, const char* message) {
  const thalweg_host* host = ((const state*)reward->plugin_data)->host;
  host->set_error(host, status, message);
  return status;
}

static thalweg_status init(const thalweg_reward* reward) {
  (void)reward;
  return THALWEG_OK;
}

static void destroy(const thalweg_reward* reward) {
  free(reward->plugin_data);
}

static thalweg_status activate(const thalweg_reward* reward, const thalweg_activation* activation) {
  // There is nothing to configure, so a key in the job is a mistake that its author should hear of. A text
  // that begins with the key's JSON pointer is shown at its place in the job.
  const char* key = strchr(activation->config_json, '"');
  if (key == NULL) return THALWEG_OK;
  char text[128];
  snprintf(text, sizeof(text), "/%.*s: unknown key; brightness has no configuration",
           (int)strcspn(key + 1, "\""), key + 1);
  return fail(reward, THALWEG_INVALID_ARGUMENT, text);
}

static void deactivate(const thalweg_reward* reward) {
  (void)reward;
}

static uint32_t dimension_count(const thalweg_reward* reward) {
  (void)reward;
  return 1;
}

static const char* dimension_name(const thalweg_reward* reward, uint32_t k) {
  (void)reward;
  return kDimensions[k];
}

static thalweg_status score(const thalweg_reward* reward, const thalweg_score_request* request,
                            const thalweg_tensor* values) {
  const thalweg_tensor* frames = request->frames;
  if (frames == NULL || frames->ndim != 5 || frames->shape[0] != (int64_t)request->batch)
    return fail(reward, THALWEG_INVALID_ARGUMENT, "frames must be [batch, frames, 3, height, width]");

  const float* pixels = (const float*)((const char*)frames->data + frames->byte_offset);
  float* out = (float*)((char*)values->data + values->byte_offset);
  const int64_t per_sample = frames->shape[1] * frames->shape[2] * frames->shape[3] * frames->shape[4];
  if (per_sample == 0) return fail(reward, THALWEG_INVALID_ARGUMENT, "frames has no pixels");

  for (uint32_t b = 0; b < request->batch; ++b) {
    double sum = 0;
    for (int64_t i = 0; i < per_sample; ++i) sum += pixels[(int64_t)b * per_sample + i];
    out[b] = (float)(sum / (double)per_sample);  // one dimension: out is [batch, 1]
  }
  return THALWEG_OK;
}

static const void* get_extension(const thalweg_reward* reward, const char* id) {
  (void)reward;
  (void)id;
  return NULL;
}

static uint32_t count(const thalweg_reward_factory* factory) {
  (void)factory;
  return 1;
}

static const thalweg_reward_descriptor* descriptor(const thalweg_reward_factory* factory, uint32_t index) {
  (void)factory;
  return index == 0 ? &kDescriptor : NULL;
}

static const thalweg_reward* create(const thalweg_reward_factory* factory, const thalweg_host* host,
                                    const char* reward_id) {
  (void)factory;
  if (strcmp(reward_id, kDescriptor.id) != 0) return NULL;
  state* self = (state*)malloc(sizeof(*self));
  if (self == NULL) return NULL;
  const thalweg_reward reward = {&kDescriptor,    self,           init,  destroy,      activate, deactivate,
                                 dimension_count, dimension_name, score, get_extension};
  self->reward = reward;
  self->host = host;
  return &self->reward;
}

static const thalweg_reward_factory kFactory = {count, descriptor, create};

static thalweg_status entry_init(const char* plugin_path) {
  (void)plugin_path;
  return THALWEG_OK;
}

static void entry_deinit(void) {}

static const void* get_factory(const char* id) {
  return strcmp(id, THALWEG_REWARD_FACTORY_ID) == 0 ? &kFactory : NULL;
}

const thalweg_plugin_entry thalweg_entry = {THALWEG_ABI_VERSION_INIT, entry_init, entry_deinit, get_factory};
