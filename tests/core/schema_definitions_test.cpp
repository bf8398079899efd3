#include "engine/core/schema_definitions.h"

#include <gtest/gtest.h>

#include <map>

#include "pipelines/jobs.h"
#include "tests/core/all_kinds.h"

namespace thalweg {
namespace {

constexpr const char* kPrefix = "#/definitions/";

/// What `schema` says with every reference replaced by what it refers to, and how often each was referred to.
Json expanded(const Json& schema, const Json& definitions, std::map<std::string, int>& uses) {
  if (schema.is_array()) {
    Json list = Json::array();
    for (const auto& element : schema) list.push_back(expanded(element, definitions, uses));
    return list;
  }
  if (!schema.is_object()) return schema;
  if (schema.contains("$ref")) {
    EXPECT_EQ(schema.size(), 1u) << "draft 7 ignores what stands beside: " << schema.dump();
    const auto name = schema["$ref"].get<std::string>().substr(std::string(kPrefix).size());
    if (!definitions.contains(name)) throw std::out_of_range("no definition " + name);
    ++uses[name];
    return expanded(definitions.at(name), definitions, uses);
  }
  Json result = Json::object();
  if (schema.contains("allOf")) {
    EXPECT_EQ(schema["allOf"].size(), 1u);
    result = expanded(schema["allOf"][0], definitions, uses);
    EXPECT_FALSE(result.contains("description")) << schema.dump();
  }
  for (const auto& [key, value] : schema.items())
    if (key != "allOf") result[key] = expanded(value, definitions, uses);
  return result;
}

Json definitions_of(const Json& schema) {
  return schema.value("definitions", Json::object());
}

Json without_definitions(Json schema) {
  std::map<std::string, int> uses;
  const auto definitions = definitions_of(schema);
  schema.erase("definitions");
  return expanded(schema, definitions, uses);
}

/// In how many places of the text, definitions included, each definition is referred to.
std::map<std::string, int> references(const Json& schema) {
  std::map<std::string, int> count;
  const auto definitions = definitions_of(schema);
  for (const auto& [name, body] : definitions.items()) count[name] = 0;
  const std::string text = schema.dump(), opening = std::string("{\"$ref\":\"") + kPrefix;
  for (size_t at = text.find(opening); at != std::string::npos; at = text.find(opening, at + 1)) {
    const auto begin = at + opening.size();
    ++count[text.substr(begin, text.find('"', begin) - begin)];
  }
  return count;
}

void add_size(Fields& f, const char* key, const char* doc, int64_t& value, int64_t high = 512) {
  f.object({key, doc}, [&, high](Fields& g) { g.integer({"height", "Pixels."}, value, 8, high); });
}

Json schema_of_sizes(const std::vector<std::tuple<const char*, const char*, int64_t>>& sizes) {
  int64_t value = 64;
  return schema_of_fields([&](Fields& f) {
    for (const auto& [key, doc, high] : sizes) add_size(f, key, doc, value, high);
  });
}

TEST(SchemaDefinitions, WhatStandsOnceStaysInItsPlace) {
  AllKinds o;
  const auto schema = schema_of_fields([&](Fields& f) { describe(f, o); });
  EXPECT_EQ(with_definitions(schema), schema);
}

TEST(SchemaDefinitions, WhatStandsTwiceIsWrittenOnce) {
  const auto schema = schema_of_sizes({{"small", "Size.", 512}, {"large", "Size.", 512}});
  const auto shorter = with_definitions(schema);
  const Json reference = {{"$ref", "#/definitions/small"}};
  EXPECT_EQ(shorter["properties"]["small"], reference);
  EXPECT_EQ(shorter["properties"]["large"], reference);
  EXPECT_EQ(shorter["definitions"]["small"], schema["properties"]["small"]);
  EXPECT_EQ(shorter["definitions"]["small"]["description"], "Size.");
  EXPECT_EQ(without_definitions(shorter), schema);
}

TEST(SchemaDefinitions, EachPlaceKeepsItsOwnDescription) {
  const auto schema = schema_of_sizes({{"small", "Of the first.", 512}, {"large", "Of the second.", 512}});
  const auto shorter = with_definitions(schema);
  EXPECT_EQ(shorter["properties"]["large"],
            parse_json(R"({"allOf":[{"$ref":"#/definitions/small"}],"description":"Of the second."})", ""));
  EXPECT_FALSE(shorter["definitions"]["small"].contains("description"));
  EXPECT_EQ(without_definitions(shorter), schema);
}

TEST(SchemaDefinitions, DifferentSectionsOfOneKeyHaveNamesOfTheirOwn) {
  int64_t value = 64;
  std::string tag;
  const auto branch = [&](const char* name, int64_t high) {
    return Fields::Alternative{name, "", [&value, high](Fields& f) { add_size(f, "size", "", value, high); }};
  };
  const auto schema = schema_of_fields([&](Fields& f) {
    f.variant({"name", "", true}, tag,
              {branch("a", 100), branch("b", 200), branch("c", 200), branch("d", 100)});
  });
  const auto shorter = with_definitions(schema);
  EXPECT_EQ(shorter["definitions"].size(), 2u);
  EXPECT_EQ(shorter["definitions"]["size"]["properties"]["height"]["maximum"], 100);
  EXPECT_EQ(shorter["definitions"]["size_2"]["properties"]["height"]["maximum"], 200);
  EXPECT_EQ(without_definitions(shorter), schema);
}

TEST(SchemaDefinitions, WhatIsRepeatedByItsSurroundingsAloneStaysInside) {
  int64_t value = 64;
  const auto outer = [&](Fields& f) { add_size(f, "inner", "", value); };
  const auto schema = schema_of_fields([&](Fields& f) {
    f.object({"first", ""}, outer);
    f.object({"second", ""}, outer);
  });
  const auto shorter = with_definitions(schema);
  EXPECT_EQ(definitions_of(shorter).size(), 1u);
  EXPECT_EQ(shorter["definitions"]["first"], schema["properties"]["first"]);
  EXPECT_EQ(without_definitions(shorter), schema);
}

TEST(SchemaDefinitions, DefinitionsUseOthers) {
  int64_t value = 64;
  std::string tag;
  const auto outer = [&](Fields& f) {
    f.variant({"kind", ""}, tag,
              {{"x", "X.", [&](Fields& g) { add_size(g, "inner", "", value); }},
               {"y", "Y.", [&](Fields& g) { add_size(g, "inner", "", value); }}});
  };
  const auto schema = schema_of_fields([&](Fields& f) {
    f.object({"first", ""}, outer);
    f.object({"second", ""}, outer);
  });
  const auto shorter = with_definitions(schema);
  EXPECT_EQ(references(shorter), (std::map<std::string, int>{{"first", 2}, {"inner", 2}}));
  EXPECT_EQ(without_definitions(shorter), schema);
}

TEST(SchemaDefinitions, AnAlternativeIsNamedAfterItsTag) {
  std::string tag;
  const Fields::Alternative same{"same", "", [](Fields&) {}};
  const auto schema = schema_of_fields([&](Fields& f) {
    f.object({"first", ""}, [&](Fields& g) { g.variant({"kind", ""}, tag, {same}); });
    f.object({"second", ""}, [&](Fields& g) {
      g.variant({"kind", ""}, tag, {same, {"other", "", [](Fields&) {}}});
    });
  });
  const auto shorter = with_definitions(schema);
  EXPECT_EQ(references(shorter), (std::map<std::string, int>{{"first_same", 2}}));
  EXPECT_EQ(without_definitions(shorter), schema);
}

TEST(SchemaDefinitions, TheJobsNoneIsUsedOnceAndWrittenOutTheyGiveThemselvesAgain) {
  const auto schema = job_schema();
  const auto uses = references(schema);
  EXPECT_GE(uses.size(), 5u);
  for (const auto& [name, count] : uses) EXPECT_GE(count, 2) << name;
  const auto whole = without_definitions(schema);
  EXPECT_EQ(whole.dump().find("$ref"), std::string::npos);
  EXPECT_LT(schema.dump().size() * 2, whole.dump().size());
  EXPECT_EQ(with_definitions(whole).dump(), schema.dump());
}

}  // namespace
}  // namespace thalweg
