// Host side, optional: lines for the program's log. Ask the host for it in `init` or later.
#pragma once

#include "../host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define THALWEG_EXT_LOG "thalweg.log/1"

typedef int32_t thalweg_log_severity;

enum {
  THALWEG_LOG_DEBUG = 0,
  THALWEG_LOG_INFO = 1,
  THALWEG_LOG_WARNING = 2,
  THALWEG_LOG_ERROR = 3,
  // One side breaks the contract of these headers: said of the other by whoever sees it.
  THALWEG_LOG_HOST_MISBEHAVING = 4,
  THALWEG_LOG_PLUGIN_MISBEHAVING = 5
};

typedef struct thalweg_host_log {
  // One line in UTF-8, without a newline; copied during the call. Lines of severity INFO and above are shown
  // to the user and kept with the run: the same line once, and of many different ones the first. [any]
  void (*log)(const thalweg_host* host, thalweg_log_severity severity, const char* message);
} thalweg_host_log;

#ifdef __cplusplus
}
#endif
