// A reward of ABI 0.2, with everything that this version has: two dimensions, prompts, a line for the log, a
// gradient of the frames, the phase of a request. Scores the mean of all pixels, and the mean times the
// prompt's length; of a phase that is not known nothing.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/ext/gradient.h>
#include <thalweg/ext/log.h>
#include <thalweg/reward.h>

static const char* const kDimensions[] = {"mean", "scaled"};

static const thalweg_reward_descriptor kDescriptor = {THALWEG_ABI_VERSION_INIT,
                                                      "org.thalweg.test.canary",
                                                      "Canary",
                                                      "Thalweg",
                                                      "0.2",
                                                      "Built against the headers of ABI 0.2",
                                                      "",
                                                      NULL,
                                                      THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS,
                                                      THALWEG_INPUT_METADATA,
                                                      THALWEG_ON_CPU,
                                                      2,
                                                      0,
                                                      kDimensions};

typedef struct canary {
  thalweg_reward reward;
  const thalweg_host* host;
} canary;

static thalweg_status init(const thalweg_reward* reward) {
  const thalweg_host* host = ((const canary*)reward->plugin_data)->host;
  const thalweg_host_log* log = (const thalweg_host_log*)host->get_extension(host, THALWEG_EXT_LOG);
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
  (void)reward;
  return 2;
}

static const char* dimension_name(const thalweg_reward* reward, uint32_t k) {
  (void)reward;
  return kDimensions[k];
}

static int64_t pixels_of_a_sample(const thalweg_score_request* request) {
  const int64_t* shape = request->frames->shape;
  return shape[1] * shape[2] * shape[3] * shape[4];
}

static thalweg_status score(const thalweg_reward* reward, const thalweg_score_request* request,
                            const thalweg_tensor* values) {
  const float* pixels = (const float*)((const char*)request->frames->data + request->frames->byte_offset);
  float* out = (float*)((char*)values->data + values->byte_offset);
  const int64_t n = pixels_of_a_sample(request);
  (void)reward;
  if (request->size >= offsetof(thalweg_score_request, iteration) + sizeof(int64_t) &&
      (request->phase > THALWEG_PHASE_SCORE || request->iteration < 0))
    return THALWEG_OK;
  for (uint32_t b = 0; b < request->batch; ++b) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += pixels[b * n + i];
    out[2 * b] = (float)(sum / (double)n);
    out[2 * b + 1] = (float)(sum / (double)n * (double)strlen(request->prompts[b]));
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

static const void* get_extension(const thalweg_reward* reward, const char* id) {
  static const thalweg_plugin_gradient kGradient = {inputs, vjp};
  (void)reward;
  return strcmp(id, THALWEG_EXT_GRADIENT) == 0 ? &kGradient : NULL;
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
                                    const char* id) {
  const thalweg_reward reward = {&kDescriptor,    NULL,           init,  destroy,      activate, deactivate,
                                 dimension_count, dimension_name, score, get_extension};
  canary* self = strcmp(id, kDescriptor.id) == 0 ? (canary*)malloc(sizeof(*self)) : NULL;
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
