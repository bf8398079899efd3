// The inner loop of SHA-256 (FIPS 180-4, 6.2.2), for any processor and for those with instructions of their
// own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace thalweg {

/// Takes `count` blocks of 64 bytes into `state`, eight words.
using Sha256Blocks = void (*)(uint32_t* state, const uint8_t* blocks, size_t count);

void sha256_blocks_portable(uint32_t* state, const uint8_t* blocks, size_t count);

/// The SHA extensions of x86-64 (ten times as fast); nullptr where the processor has none.
Sha256Blocks sha256_blocks_x86();

}  // namespace thalweg
