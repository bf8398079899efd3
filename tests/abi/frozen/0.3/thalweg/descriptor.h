// What a reward says of itself before anything is loaded.
#pragma once

#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

// Bits of required_inputs and optional_inputs. A host refuses a reward that requires one that it does not
// know, and ignores an optional one. sample_ids, seeds, group_ids, step_index, num_steps and
// fps come with every request and need no bit.
#define THALWEG_INPUT_FRAMES UINT64_C(1)
#define THALWEG_INPUT_LATENTS UINT64_C(2)  // brings sigmas too; declared by a process reward
#define THALWEG_INPUT_PROMPTS UINT64_C(4)
#define THALWEG_INPUT_REFERENCE UINT64_C(8)
#define THALWEG_INPUT_MASK UINT64_C(16)
#define THALWEG_INPUT_METADATA UINT64_C(32)

// Bits of devices: where the tensors of a request may lie.
#define THALWEG_ON_CPU UINT64_C(1)
#define THALWEG_ON_CUDA UINT64_C(2)

// Words for `features` that the host knows. Others are free.
#define THALWEG_FEATURE_NONDETERMINISTIC "nondeterministic"
#define THALWEG_FEATURE_REMOTE "remote"

// Constant data of the plugin, valid until the entry's deinit. Strings are UTF-8 and never NULL. It never
// grows within a major: what a later version has to say comes with an extension.
typedef struct thalweg_reward_descriptor {
  thalweg_abi_version abi;
  const char* id;  // unique and lasting, reverse domain: "org.example.sharpness"
  const char* name;
  const char* vendor;
  const char* version;
  const char* description;
  const char* paper_url;        // "" where there is none
  const char* const* features;  // ends with NULL; may be NULL itself
  uint64_t required_inputs;     // a request always carries these
  uint64_t optional_inputs;     // used when present
  uint64_t devices;
  // What a list of plugins shows. The activated instance has the last word (dimension_count below), for
  // a configuration may add or drop dimensions; 0 and NULL where only activation can tell.
  uint32_t num_dimensions;
  uint32_t reserved;  // 0
  const char* const* dimension_names;
} thalweg_reward_descriptor;

#ifdef __cplusplus
}
#endif
