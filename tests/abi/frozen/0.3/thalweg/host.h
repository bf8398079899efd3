// What the program offers to a plugin.
//
// Threads, said in brackets on every function of these headers:
//   [main]     the host's managing thread; calls are never concurrent for one library
//   [scoring]  any one thread at a time per instance; different instances may run concurrently
//   [any]      every thread, concurrently
#pragma once

#include "status.h"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

// Filled by the host, handed to `create`, valid until `destroy` has returned. Every function takes it back.
typedef struct thalweg_host {
  thalweg_abi_version abi;
  void* host_data;      // the host's own; a plugin never touches it
  const char* name;     // UTF-8, e.g. "thalweg"
  const char* version;  // UTF-8, e.g. "0.1.0"

  // A table of an optional ability (see ext/), or NULL when the host lacks it.
  // The table lives as long as the host object. [any]
  const void* (*get_extension)(const struct thalweg_host* host, const char* extension_id);

  // Says why a call is about to fail, in UTF-8, for the user. Call it before the failing status is
  // returned; the last text counts. Newlines may be in it and are shown as spaces. The text is copied during
  // the call. [any]
  void (*set_error)(const struct thalweg_host* host, thalweg_status status, const char* message);
} thalweg_host;

#ifdef __cplusplus
}
#endif
