#include "engine/core/schema_definitions.h"

#include <unordered_map>

namespace thalweg {
namespace {

bool is_section(const Json& schema) {
  return schema.contains("properties") || schema.contains("oneOf") ||
         (schema.contains("items") && is_section(schema["items"]));
}

// The constant that tells an alternative from its like.
std::string tag_of(const Json& alternative) {
  for (const auto& property : alternative.at("properties"))
    if (property.contains("const")) return property["const"].get<std::string>();
  return "";
}

/// visit(schema, name) of each schema right inside of one that stands under `name`.
template <typename Schema, typename Visit>
void visit_inner(Schema& schema, const std::string& name, const Visit& visit) {
  if (schema.contains("properties"))
    for (const auto& [key, property] : schema["properties"].items()) visit(property, key);
  if (schema.contains("items")) visit(schema["items"], name);
  if (schema.contains("oneOf"))
    for (auto& alternative : schema["oneOf"]) visit(alternative, name + "_" + tag_of(alternative));
}

Json description_of(const Json& schema) {
  return schema.contains("description") ? schema["description"] : Json();
}

class Definitions {
 public:
  explicit Definitions(const Json& schema) { count(schema, "schema"); }

  // Inside of what stands twice nothing is counted twice: it will be written once.
  void count(const Json& schema, const std::string& name) {
    if (!is_section(schema)) return;
    auto& section = section_of(schema);
    if (++section.places > 1) {
      section.described_alike &= section.description == description_of(schema);
      return;
    }
    section.key = name;
    section.description = description_of(schema);
    visit_inner(schema, name, [this](const Json& inner, const std::string& key) { count(inner, key); });
  }

  // The schema with references inside.
  Json with_references(Json schema) {
    visit_inner(schema, "", [this](Json& inner, const std::string&) { inner = placed(inner); });
    return schema;
  }

  Json definitions = Json::object();  // of what with_references() has referred to so far

 private:
  struct Section {
    size_t places = 0;
    std::string key;   // of the first place
    std::string name;  // of the definition; empty until it is first referred to
    Json description;  // of the first place
    bool described_alike = true;
  };

  // Sections are told apart by all but what their place says of them.
  Section& section_of(Json schema) {
    schema.erase("description");
    return sections_[schema.dump()];
  }

  Json placed(const Json& schema) {
    if (!is_section(schema)) return schema;
    auto& section = section_of(schema);
    if (section.places == 1) return with_references(schema);
    if (section.name.empty()) define(section, schema);
    const Json reference = {{"$ref", "#/definitions/" + section.name}};
    if (section.described_alike || !schema.contains("description")) return reference;
    return {{"allOf", Json::array({reference})}, {"description", schema["description"]}};
  }

  void define(Section& section, const Json& schema) {
    section.name = section.key;
    for (int n = 2; definitions.contains(section.name); ++n)
      section.name = section.key + "_" + std::to_string(n);
    definitions[section.name] = nullptr;  // before those inside of it
    auto body = with_references(schema);
    if (!section.described_alike) body.erase("description");
    definitions[section.name] = std::move(body);
  }

  std::unordered_map<std::string, Section> sections_;
};

}  // namespace

Json with_definitions(const Json& schema) {
  Definitions all(schema);
  auto result = all.with_references(schema);
  if (!all.definitions.empty()) result["definitions"] = std::move(all.definitions);
  return result;
}

}  // namespace thalweg
