// Two rewards of ABI 0.3, with everything that this version has. The canary has two dimensions, prompts, a
// line for the log, a gradient of the frames, the phase of a request: it scores the mean of all pixels, and
// the mean times the prompt's length; of a phase that is not known nothing, and says so. The flock scores how
// much a sample's mean is above that of its group.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/ext/gradient.h>
#include <thalweg/ext/group.h>
#include <thalweg/ext/log.h>
#include <thalweg/ext/note.h>
#include <thalweg/reward.h>

static const char* const kDimensions[] = {"mean", "scaled"};

static const thalweg_reward_descriptor kDescriptor = {THALWEG_ABI_VERSION_INIT,
                                                      "org.thalweg.test.canary",
                                                      "Canary",
                                                      "Thalweg",
                                                      "0.3",
                                                      "Built against the headers of ABI 0.3",
                                                      "",
                                                      NULL,
                                                      THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS,
                                                      THALWEG_INPUT_METADATA,
                                                      THALWEG_ON_CPU,
                                                      2,
                                                      0,
                                                      kDimensions};

static const thalweg_reward_descriptor kFlock = {THALWEG_ABI_VERSION_INIT,
                                                 "org.thalweg.test.flock",
                                                 "Flock",
                                                 "Thalweg",
                                                 "0.3",
                                                 "Compares the samples of a group",
                                                 "",
                                                 NULL,
                                                 THALWEG_INPUT_FRAMES,
                                                 0,
                                                 THALWEG_ON_CPU,
                                                 1,
                                                 0,
                                                 kDimensions};

typedef struct canary {
  thalweg_reward reward;
  const thalweg_host* host;
  const thalweg_host_note* note;
} canary;

static int is_flock(const thalweg_reward* reward) {
  return reward->desc == &kFlock;
}

static thalweg_status init(const thalweg_reward* reward) {
  canary* self = (canary*)reward->plugin_data;
  const thalweg_host* host = self->host;
  const thalweg_host_log* log = (const thalweg_host_log*)host->get_extension(host, THALWEG_EXT_LOG);
  self->note = (const thalweg_host_note*)host->get_extension(host, THALWEG_EXT_NOTE);
  if (log != NULL) log->log(host, THALWEG_LOG_DEBUG, "the canary sings");
  return THALWEG_OK;
}

static void destroy(const thalweg_reward* reward) {
  free(reward->plugin_data);
}

static thalweg_status activate(const thalweg_reward* reward, const thalweg_activation* activation) {
  const thalweg_host* host = ((const canary*)reward->plugin_data)->host;
  const char* key = strchr(activation->config_json, '"');
  char text[128] = "/";
  if (activation->size < THALWEG_ACTIVATION_SIZE_0_1 || key == NULL) return THALWEG_OK;
  strncat(text, key + 1, strcspn(key + 1, "\"") < 64 ? strcspn(key + 1, "\"") : 64);
  strcat(text, ": unknown key");
  host->set_error(host, THALWEG_INVALID_ARGUMENT, text);
  return THALWEG_INVALID_ARGUMENT;
}

static void deactivate(const thalweg_reward* reward) {
  (void)reward;
}

static uint32_t dimension_count(const thalweg_reward* reward) {
  return is_flock(reward) ? 1 : 2;
}

static const char* dimension_name(const thalweg_reward* reward, uint32_t k) {
  (void)reward;
  return kDimensions[k];
}

static int64_t pixels_of_a_sample(const thalweg_score_request* request) {
  const int64_t* shape = request->frames->shape;
  return shape[1] * shape[2] * shape[3] * shape[4];
}

static double mean_of(const thalweg_score_request* request, uint32_t b) {
  const float* pixels = (const float*)((const char*)request->frames->data + request->frames->byte_offset);
  const int64_t n = pixels_of_a_sample(request);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += pixels[b * n + i];
  return sum / (double)n;
}

static void compare(const thalweg_score_request* request, float* out) {
  for (uint32_t b = 0; b < request->batch; ++b) {
    double sum = 0, count = 0;
    for (uint32_t a = 0; a < request->batch; ++a)
      if (request->group_ids[a] == request->group_ids[b]) {
        sum += mean_of(request, a);
        count += 1;
      }
    out[b] = (float)(mean_of(request, b) - sum / count);
  }
}

static thalweg_status score(const thalweg_reward* reward, const thalweg_score_request* request,
                            const thalweg_tensor* values) {
  const canary* self = (const canary*)reward->plugin_data;
  float* out = (float*)((char*)values->data + values->byte_offset);
  if (is_flock(reward)) {
    compare(request, out);
    return THALWEG_OK;
  }
  if (request->size >= offsetof(thalweg_score_request, iteration) + sizeof(int64_t) &&
      (request->phase > THALWEG_PHASE_SCORE || request->iteration < 0)) {
    for (uint32_t b = 0; b < request->batch && self->note != NULL; ++b)
      self->note->not_scored(self->host, b, "a phase that is not known");
    return THALWEG_OK;
  }
  for (uint32_t b = 0; b < request->batch; ++b) {
    const double mean = mean_of(request, b);
    out[2 * b] = (float)mean;
    out[2 * b + 1] = (float)(mean * (double)strlen(request->prompts[b]));
  }
  return THALWEG_OK;
}

static uint64_t inputs(const thalweg_reward* reward) {
  (void)reward;
  return THALWEG_INPUT_FRAMES;
}

static thalweg_status vjp(const thalweg_reward* reward, const thalweg_score_request* request, uint64_t input,
                          const thalweg_tensor* cotangent, const thalweg_tensor* gradient) {
  const float* c = (const float*)((const char*)cotangent->data + cotangent->byte_offset);
  float* out = (float*)((char*)gradient->data + gradient->byte_offset);
  const int64_t n = pixels_of_a_sample(request);
  const thalweg_host* host = ((const canary*)reward->plugin_data)->host;
  if (input != THALWEG_INPUT_FRAMES) {
    host->set_error(host, THALWEG_UNSUPPORTED, "no gradient of this input");
    return THALWEG_UNSUPPORTED;
  }
  for (uint32_t b = 0; b < request->batch; ++b) {
    const float length = (float)strlen(request->prompts[b]);
    for (int64_t i = 0; i < n; ++i) out[b * n + i] = (c[2 * b] + c[2 * b + 1] * length) / (float)n;
  }
  return THALWEG_OK;
}

static uint32_t least(const thalweg_reward* reward) {
  (void)reward;
  return 2;
}

static const void* get_extension(const thalweg_reward* reward, const char* id) {
  static const thalweg_plugin_gradient kGradient = {inputs, vjp};
  static const thalweg_plugin_group kGroup = {least};
  if (is_flock(reward)) return strcmp(id, THALWEG_EXT_GROUP) == 0 ? &kGroup : NULL;
  return strcmp(id, THALWEG_EXT_GRADIENT) == 0 ? &kGradient : NULL;
}

static uint32_t count(const thalweg_reward_factory* factory) {
  (void)factory;
  return 2;
}

static const thalweg_reward_descriptor* descriptor(const thalweg_reward_factory* factory, uint32_t index) {
  (void)factory;
  return index == 0 ? &kDescriptor : index == 1 ? &kFlock : NULL;
}

static const thalweg_reward* create(const thalweg_reward_factory* factory, const thalweg_host* host,
                                    const char* id) {
  const int flock = strcmp(id, kFlock.id) == 0;
  const thalweg_reward reward = {flock ? &kFlock : &kDescriptor,
                                 NULL,
                                 init,
                                 destroy,
                                 activate,
                                 deactivate,
                                 dimension_count,
                                 dimension_name,
                                 score,
                                 get_extension};
  canary* self = flock || strcmp(id, kDescriptor.id) == 0 ? (canary*)calloc(1, sizeof(*self)) : NULL;
  (void)factory;
  if (self == NULL) return NULL;
  self->reward = reward;
  self->reward.plugin_data = self;
  self->host = host;
  return &self->reward;
}

static const thalweg_reward_factory kFactory = {count, descriptor, create};

static thalweg_status start(const char* path) {
  (void)path;
  return THALWEG_OK;
}

static void stop(void) {}

static const void* get_factory(const char* id) {
  return strcmp(id, THALWEG_REWARD_FACTORY_ID) == 0 ? &kFactory : NULL;
}

const thalweg_plugin_entry thalweg_entry = {THALWEG_ABI_VERSION_INIT, start, stop, get_factory};
