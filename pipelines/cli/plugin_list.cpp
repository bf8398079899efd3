#include "pipelines/cli/plugin_list.h"

#include <iostream>

#include "engine/core/json.h"
#include "engine/core/names.h"
#include "rewards/plugin.h"

namespace thalweg::cli {
namespace {

Json as_object(const PluginInfo& p) {
  return {{"plugin", p.plugin},
          {"path", p.path.string()},
          {"id", p.id},
          {"name", p.name},
          {"vendor", p.vendor},
          {"version", p.version},
          {"description", p.description},
          {"dimensions", p.dimensions},
          {"required_inputs", p.required_inputs},
          {"optional_inputs", p.optional_inputs},
          {"devices", p.devices},
          {"gradient", p.has_gradient},
          {"usable", p.usable},
          {"reason", p.reason}};
}

void print_one(const PluginInfo& p) {
  if (!p.usable) {
    std::cout << p.plugin << "  cannot be used: " << p.reason << "\n  " << p.path.string() << "\n";
    return;
  }
  std::cout << p.plugin << "  " << p.name << " " << p.version << " (" << p.vendor << ")\n  " << p.description
            << "\n  dimensions: " << join(p.dimensions) << "\n  inputs: " << join(p.required_inputs)
            << (p.optional_inputs.empty() ? "" : " (optional: " + join(p.optional_inputs) + ")")
            << "\n  gradient: " << (p.has_gradient ? "yes" : "no") << "\n  " << p.path.string() << "\n";
}

}  // namespace

void print_plugins(bool as_json) {
  const auto dirs = installed_plugin_dirs();
  const auto plugins = scan_plugins(dirs);
  if (as_json) {
    Json list = Json::array();
    for (const auto& plugin : plugins) list.push_back(as_object(plugin));
    std::cout << list.dump(2) << "\n";
    return;
  }
  for (const auto& plugin : plugins) print_one(plugin);
  if (plugins.empty()) std::cout << "no plugins found beside the program\n";
}

}  // namespace thalweg::cli
