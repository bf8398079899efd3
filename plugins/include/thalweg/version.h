// The version of the binary interface that these headers describe.
//
// A host loads a plugin only when `major` is its own; `minor` is information. Tables of functions never
// change within a major: a new ability is a new extension id. While the major is 0 a table that must
// change all the same comes with a new factory id, so that an older plugin is refused by name.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define THALWEG_ABI_MAJOR 0
#define THALWEG_ABI_MINOR 3

typedef struct thalweg_abi_version {
  uint32_t major;
  uint32_t minor;
} thalweg_abi_version;

// clang-format off
#define THALWEG_ABI_VERSION_INIT { THALWEG_ABI_MAJOR, THALWEG_ABI_MINOR }
// clang-format on

#ifdef __cplusplus
}
#endif
