// The two structs that the host fills: what an instance is activated with, and what it is to score.
#pragma once

#include <stddef.h>

#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

// `size` is the host's sizeof: later versions append fields. Those of 0.1 are in every struct and may be read
// without a look at it; one that is marked with a later version only where `size` covers it.
#define THALWEG_ACTIVATION_SIZE_0_1 (offsetof(thalweg_activation, assets_dir) + sizeof(const char*))
#define THALWEG_SCORE_REQUEST_SIZE_0_1 (offsetof(thalweg_score_request, fps) + sizeof(double))

// What is scored for: `phase` of a request.
enum {
  THALWEG_PHASE_UNKNOWN = 0,
  THALWEG_PHASE_ROLLOUT = 1,   // of a training run: what it learns from
  THALWEG_PHASE_HELD_OUT = 2,  // an evaluation, also one that chooses a checkpoint
  THALWEG_PHASE_FINAL = 3,     // the evaluation at the end of a training run, before and after
  THALWEG_PHASE_STEERING = 4,  // states on their way, and finished samples that are weighed or chosen
  THALWEG_PHASE_SCORE = 5      // finished samples that are handed back, and pictures that were given
};

// Filled by the host; valid during `activate`.
typedef struct thalweg_activation {
  uint32_t size;
  uint32_t max_batch;  // the largest request to come; 0 here and below: not known
  uint32_t max_frames;
  uint32_t max_height;
  uint32_t max_width;
  thalweg_device device;    // where a network of the plugin should run
  uint32_t reserved;        // 0
  uint64_t seed;            // of the run; a sample's own seed is in the request
  const char* config_json;  // a JSON object in UTF-8, "{}" at least. Refuse keys that nothing reads.
  const char* assets_dir;   // folder of the installation's data files, UTF-8; "" where there is none
} thalweg_activation;

// Filled by the host. Everything is borrowed and valid until `score` returns; the tensors' data, until the
// work that the call put on `stream` is done. Tensors are dense and row-major. One that was not declared
// as an input, or is optional and absent, is NULL; the arrays below always have `batch` entries. The tensors
// are the call's own copy: nobody sees what a plugin writes into them.
typedef struct thalweg_score_request {
  uint32_t size;
  uint32_t batch;                    // B >= 1
  void* stream;                      // cudaStream_t for work on CUDA; NULL on CPU
  const thalweg_tensor* frames;      // [B,F,3,H,W] float32, RGB in [0,1]
  const thalweg_tensor* latents;     // [B,C,F,H,W] float32, at noise level `sigmas`
  const thalweg_tensor* sigmas;      // [B] float32, 1 = noise, 0 = data
  const thalweg_tensor* reference;   // [B,F,3,H,W] float32 in [0,1]: the picture that was given to edit
  const thalweg_tensor* mask;        // [B,F,1,H,W] float32 in [0,1]: 1 = the region to change
  const char* const* prompts;        // UTF-8, "" where there is none
  const uint64_t* sample_ids;        // name of what is scored: nothing else of the run has it, in any phase
  const uint64_t* seeds;             // the only source of randomness that a reward may use; one an id
  const int64_t* group_ids;          // samples of one prompt share it; -1 where there are no groups
  const char* const* metadata_json;  // the prompt's own fields, a JSON object each, "{}" at least
  int32_t step_index;                // of the step whose state, or clean estimate, is scored; -1: finished
  int32_t num_steps;                 // of the schedule; 0 where not known
  double fps;                        // frames per second of a video; 0 for images
  uint32_t phase;                    // since 0.2: THALWEG_PHASE_*
  uint32_t reserved;                 // since 0.2: 0
  int64_t iteration;                 // since 0.2: of the training run, 0-based; in evaluations the number of
                                     // iterations that came before; 0 where there are none
} thalweg_score_request;

#ifdef __cplusplus
}
#endif
