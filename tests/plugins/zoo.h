// A proper reward in C11 (or C++17) of which one thing can be spoilt: define a hook, then include this file.
// It scores the mean square of all pixels, and has its gradient. Hooks that take a statement see `self`;
// those of score and vjp see `request` and `out` too.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/ext/gradient.h>
#include <thalweg/ext/log.h>
#include <thalweg/reward.h>

// Every third sample, whatever the batch: the lower bits of an id count.
#define UNLUCKY(b) ((request->sample_ids[b] & ((UINT64_C(1) << 36) - 1)) % 3 == 0)

#ifndef ZOO_ABI
#define ZOO_ABI THALWEG_ABI_VERSION_INIT
#endif
#ifndef ZOO_ENTRY
#define ZOO_ENTRY thalweg_entry
#endif
#ifndef ZOO_NAME
#define ZOO_NAME "Zoo"
#endif
#ifndef ZOO_FEATURES
#define ZOO_FEATURES NULL
#endif
#ifndef ZOO_START  // in entry.init; may return a status
#define ZOO_START
#endif
#ifndef ZOO_CREATE  // in create, with `host`
#define ZOO_CREATE
#endif
#ifndef ZOO_REFUSES  // whether a key of the configuration is refused
#define ZOO_REFUSES 1
#endif
#ifndef ZOO_ACTIVATE  // with `activation`
#define ZOO_ACTIVATE
#endif
#ifndef ZOO_BEFORE  // in score; may return a status
#define ZOO_BEFORE
#endif
#ifndef ZOO_VALUE  // what is written for sample b that scores `value`
#define ZOO_VALUE(b, value) out[b] = (value)
#endif
#ifndef ZOO_AFTER  // in score
#define ZOO_AFTER
#endif
#ifndef ZOO_DEACTIVATE
#define ZOO_DEACTIVATE
#endif
#ifndef ZOO_END  // in entry.deinit
#define ZOO_END
#endif
#ifndef ZOO_DESTROY
#define ZOO_DESTROY free(self)
#endif
#ifndef ZOO_INPUTS
#define ZOO_INPUTS THALWEG_INPUT_FRAMES
#endif
#ifdef ZOO_HELPERS  // functions that the other hooks call
ZOO_HELPERS
#endif
#ifndef ZOO_MEMBERS  // of `self`
#define ZOO_MEMBERS
#endif
#ifndef ZOO_DIMENSIONS
#define ZOO_DIMENSIONS 1
#endif
#ifndef ZOO_VJP  // in vjp; may return a status
#define ZOO_VJP
#endif
#ifndef ZOO_SLOPE  // the derivative of the mean square of n pixels by pixel x
#define ZOO_SLOPE(x, n) (2 * (x) / (n))
#endif
#ifndef ZOO_EXTENSION  // the table of another extension, or NULL
#define ZOO_EXTENSION(id) NULL
#endif
#ifndef ZOO_SCORE_FUNCTION
#define ZOO_SCORE_FUNCTION score
#endif

typedef struct zoo {
  thalweg_reward reward;
  const thalweg_host* host;
  uint64_t calls;
  ZOO_MEMBERS
} zoo;

static const char* const kDimensions[] = {"square"};

static const thalweg_reward_descriptor kDescriptor = {ZOO_ABI,
                                                      "org.thalweg.test.zoo",
                                                      ZOO_NAME,
                                                      "Thalweg",
                                                      "0.1.0",
                                                      "Misbehaves, for tests",
                                                      "",
                                                      ZOO_FEATURES,
                                                      ZOO_INPUTS,
                                                      0,
                                                      THALWEG_ON_CPU,
                                                      1,
                                                      0,
                                                      kDimensions};

static thalweg_status init(const thalweg_reward* reward) {
  (void)reward;
  return THALWEG_OK;
}

static void destroy(const thalweg_reward* reward) {
  zoo* self = (zoo*)reward->plugin_data;
  ZOO_DESTROY;
}

static thalweg_status activate(const thalweg_reward* reward, const thalweg_activation* activation) {
  zoo* self = (zoo*)reward->plugin_data;
  const char* key = strchr(activation->config_json, '"');
  if (key != NULL && ZOO_REFUSES) {
    char text[200];
    snprintf(text, sizeof(text), "/%.*s: unknown key; there is nothing to configure",
             (int)strcspn(key + 1, "\""), key + 1);
    self->host->set_error(self->host, THALWEG_INVALID_ARGUMENT, text);
    return THALWEG_INVALID_ARGUMENT;
  }
  ZOO_ACTIVATE;
  return THALWEG_OK;
}

static void deactivate(const thalweg_reward* reward) {
  (void)reward;
  ZOO_DEACTIVATE;
}

static uint32_t dimension_count(const thalweg_reward* reward) {
  const zoo* self = (const zoo*)reward->plugin_data;
  (void)self;
  return ZOO_DIMENSIONS;
}

static const char* dimension_name(const thalweg_reward* reward, uint32_t k) {
  (void)reward;
  return kDimensions[k];
}

static thalweg_status score(const thalweg_reward* reward, const thalweg_score_request* request,
                            const thalweg_tensor* values) {
  zoo* self = (zoo*)reward->plugin_data;
  float* pixels = (float*)request->frames->data;
  float* out = (float*)values->data;
  const int64_t* shape = request->frames->shape;
  const int64_t n = shape[1] * shape[2] * shape[3] * shape[4];
  ++self->calls;
  ZOO_BEFORE;
  for (uint32_t b = 0; b < request->batch; ++b) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += (double)pixels[b * n + i] * pixels[b * n + i];
    const float value = (float)(sum / (double)n);
    ZOO_VALUE(b, value);
  }
  ZOO_AFTER;
  return THALWEG_OK;
}

static uint64_t gradient_inputs(const thalweg_reward* reward) {
  (void)reward;
  return THALWEG_INPUT_FRAMES;
}

static thalweg_status vjp(const thalweg_reward* reward, const thalweg_score_request* request, uint64_t input,
                          const thalweg_tensor* cotangent, const thalweg_tensor* gradient) {
  const float* pixels = (const float*)request->frames->data;
  const float* c = (const float*)cotangent->data;
  float* out = (float*)gradient->data;
  const int64_t* shape = request->frames->shape;
  const int64_t n = shape[1] * shape[2] * shape[3] * shape[4];
  zoo* self = (zoo*)reward->plugin_data;
  (void)self;
  (void)input;
  ZOO_VJP;
  for (int64_t i = 0; i < n * (int64_t)request->batch; ++i)
    out[i] = (float)(c[i / n] * ZOO_SLOPE(pixels[i], (float)n));
  return THALWEG_OK;
}

static const void* get_extension(const thalweg_reward* reward, const char* id) {
  static const thalweg_plugin_gradient kGradient = {gradient_inputs, vjp};
  (void)reward;
  if (strcmp(id, THALWEG_EXT_GRADIENT) == 0) return &kGradient;
  return ZOO_EXTENSION(id);
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
  const thalweg_reward reward = {
      &kDescriptor,       NULL,         init, destroy, activate, deactivate, dimension_count, dimension_name,
      ZOO_SCORE_FUNCTION, get_extension};
  zoo* self = (zoo*)calloc(1, sizeof(*self));
  (void)factory;
  ZOO_CREATE;
  if (self == NULL || strcmp(id, kDescriptor.id) != 0) {
    free(self);
    return NULL;
  }
  self->reward = reward;
  self->reward.plugin_data = self;
  self->host = host;
  return &self->reward;
}

static const thalweg_reward_factory kFactory = {count, descriptor, create};

static thalweg_status entry_init(const char* path) {
  (void)path;
  ZOO_START;
  return THALWEG_OK;
}

static void entry_deinit(void) {
  ZOO_END;
}

static const void* get_factory(const char* id) {
  return strcmp(id, THALWEG_REWARD_FACTORY_ID) == 0 ? &kFactory : NULL;
}

#ifdef __cplusplus
extern "C" {
#endif
extern THALWEG_EXPORT const thalweg_plugin_entry ZOO_ENTRY;
const thalweg_plugin_entry ZOO_ENTRY = {ZOO_ABI, entry_init, entry_deinit, get_factory};
#ifdef __cplusplus
}
#endif
