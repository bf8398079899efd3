// The one symbol that a plugin exports, and the way from it to a list of what the library holds.
#pragma once

#include "status.h"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define THALWEG_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define THALWEG_EXPORT __attribute__((visibility("default")))
#else
#define THALWEG_EXPORT
#endif

#define THALWEG_ENTRY_SYMBOL "thalweg_entry"

typedef struct thalweg_plugin_entry {
  thalweg_abi_version abi;  // THALWEG_ABI_VERSION_INIT of the headers it was built with

  // Called once, before anything else, with the path of the library. Must be quick: no weights, no
  // network, no threads. `plugin_path` is valid during the call. There is no host yet, so a failure has
  // its status alone. [main]
  thalweg_status (*init)(const char* plugin_path);

  // Called once, at the end of the program, after a successful init and after the last instance is
  // destroyed. The library stays mapped. [main]
  void (*deinit)(void);

  // A factory by id (reward.h: THALWEG_REWARD_FACTORY_ID), or NULL. The table and everything that it
  // describes stays valid until deinit. [any]
  const void* (*get_factory)(const char* factory_id);
} thalweg_plugin_entry;

// Defined by the plugin: `const thalweg_plugin_entry thalweg_entry = {...};`
extern THALWEG_EXPORT const thalweg_plugin_entry thalweg_entry;

#ifdef __cplusplus
}
#endif
