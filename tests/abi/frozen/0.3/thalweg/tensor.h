// A borrowed view of an array. Its memory layout is that of DLPack's DLTensor (major version 1), so that
// a pointer to one may be used as a pointer to the other; no header of DLPack is needed.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// thalweg_device.type and thalweg_dtype.code: DLPack's numbers.
enum { THALWEG_DEVICE_TYPE_CPU = 1, THALWEG_DEVICE_TYPE_CUDA = 2 };
enum { THALWEG_DTYPE_INT = 0, THALWEG_DTYPE_UINT = 1, THALWEG_DTYPE_FLOAT = 2, THALWEG_DTYPE_BFLOAT = 4 };

typedef struct thalweg_device {
  int32_t type;
  int32_t index;
} thalweg_device;

typedef struct thalweg_dtype {
  uint8_t code;
  uint8_t bits;    // of one lane
  uint16_t lanes;  // 1, unless vectors are packed
} thalweg_dtype;

typedef struct thalweg_tensor {
  void* data;
  thalweg_device device;
  int32_t ndim;
  thalweg_dtype dtype;
  const int64_t* shape;    // ndim entries
  const int64_t* strides;  // ndim entries, counted in elements; always filled by the host
  uint64_t byte_offset;    // of the first element from `data`
} thalweg_tensor;

#ifdef __cplusplus
}
#endif
