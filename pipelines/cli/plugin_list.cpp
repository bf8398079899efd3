#include "pipelines/cli/plugin_list.h"

#include "engine/core/json.h"
#include "engine/core/names.h"
#include "pipelines/cli/output.h"
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

std::string as_text(const PluginInfo& p) {
  if (!p.usable) return p.plugin + "  cannot be used: " + p.reason + "\n  " + p.path.string() + "\n";
  if (p.version.empty())
    return p.plugin + "  " + p.name + "\n  " + p.description + "\n  " + p.path.string() + "\n";
  return p.plugin + "  " + p.name + " " + p.version + " (" + p.vendor + ")\n  " + p.description +
         "\n  dimensions: " + join(p.dimensions) + "\n  inputs: " + join(p.required_inputs) +
         (p.optional_inputs.empty() ? "" : " (optional: " + join(p.optional_inputs) + ")") +
         "\n  gradient: " + (p.has_gradient ? "yes" : "no") + "\n  " + p.path.string() + "\n";
}

}  // namespace

Json plugins_json(const std::vector<std::filesystem::path>& folders) {
  auto all = installed_plugin_dirs();
  all.insert(all.end(), folders.begin(), folders.end());
  Json list = Json::array();
  for (const auto& plugin : scan_plugins(all)) list.push_back(as_object(plugin));
  return list;
}

void print_plugins(bool as_json) {
  if (as_json) return print(plugins_json().dump(2) + "\n");
  const auto plugins = scan_plugins(installed_plugin_dirs());
  for (const auto& plugin : plugins) print(as_text(plugin));
  if (plugins.empty()) print("no plugins found beside the program\n");
}

}  // namespace thalweg::cli
