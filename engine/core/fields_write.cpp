#include "engine/core/fields.h"

namespace thalweg {
namespace {

class Writer final : public Fields {
 public:
  void number(Field field, double& value, double, double) override { json[field.key] = value; }
  void integer(Field field, int64_t& value, int64_t, int64_t) override { json[field.key] = value; }
  void boolean(Field field, bool& value) override { json[field.key] = value; }
  void text(Field field, std::string& value) override {
    if (!value.empty() || field.required) json[field.key] = value;
  }
  void choice(Field field, std::string& value, const std::vector<std::string>&) override {
    json[field.key] = value;
  }
  void texts(Field field, std::vector<std::string>& value) override { json[field.key] = value; }
  void numbers(Field field, std::vector<std::pair<std::string, double>>& value, double, double) override {
    json[field.key] = Json::object();
    for (const auto& [name, number] : value) json[field.key][name] = number;
  }
  void foreign(Field field, Json& value) override {
    json[field.key] = value.is_null() ? Json::object() : value;
  }
  void object(Field field, const Describe& describe) override { json[field.key] = write_fields(describe); }
  void optional_object(Field field, bool& present, const Describe& describe) override {
    if (present) json[field.key] = write_fields(describe);
  }
  void variant(Field field, std::string& tag, const std::vector<Alternative>& alternatives) override {
    json[field.key] = tag;
    for (const auto& alternative : alternatives)
      if (alternative.name == tag) alternative.describe(*this);
  }

  Json json = Json::object();

 protected:
  void list(Field field, const ListAccess& access) override {
    json[field.key] = Json::array();
    for (size_t i = 0; i < access.size(); ++i)
      json[field.key].push_back(write_fields([&](Fields& fields) { access.describe(i, fields); }));
  }
};

class SchemaWriter final : public Fields {
 public:
  void number(Field field, double& value, double low, double high) override {
    add(field, {{"type", "number"}, {"minimum", low}, {"maximum", high}, {"default", value}});
  }
  void integer(Field field, int64_t& value, int64_t low, int64_t high) override {
    add(field, {{"type", "integer"}, {"minimum", low}, {"maximum", high}, {"default", value}});
  }
  void boolean(Field field, bool& value) override { add(field, {{"type", "boolean"}, {"default", value}}); }
  void text(Field field, std::string& value) override {
    Json schema = {{"type", "string"}};
    if (!value.empty()) schema["default"] = value;
    add(field, std::move(schema));
  }
  void choice(Field field, std::string& value, const std::vector<std::string>& names) override {
    Json schema = {{"type", "string"}, {"enum", names}};
    if (!field.required) schema["default"] = value;
    add(field, std::move(schema));
  }
  void texts(Field field, std::vector<std::string>& value) override {
    add(field, {{"type", "array"}, {"items", {{"type", "string"}}}, {"default", value}});
  }
  void numbers(Field field, std::vector<std::pair<std::string, double>>&, double low, double high) override {
    add(field, {{"type", "object"},
                {"additionalProperties", {{"type", "number"}, {"minimum", low}, {"maximum", high}}}});
  }
  void foreign(Field field, Json&) override { add(field, {{"type", "object"}}); }
  void object(Field field, const Describe& describe) override { add(field, schema_of_fields(describe)); }
  void optional_object(Field field, bool&, const Describe& describe) override {
    add(field, schema_of_fields(describe));
  }
  void variant(Field field, std::string& tag, const std::vector<Alternative>& alternatives) override {
    // draft 7 cannot close an object over properties from two places, so each alternative is a whole object.
    for (const auto& alternative : alternatives) {
      SchemaWriter branch;
      // Only the default alternative may go without its tag.
      branch.add({field.key, field.doc, field.required || alternative.name != tag},
                 {{"const", alternative.name}});
      alternative.describe(branch);
      branches_.push_back({alternative.doc, std::move(branch)});
    }
  }

  Json finish() const {
    if (branches_.empty()) return closed(properties_, required_);
    Json one_of = Json::array();
    for (const auto& [doc, branch] : branches_) {
      Json properties = branch.properties_, required = branch.required_;
      properties.update(properties_);
      for (const auto& key : required_) required.push_back(key);
      Json schema = closed(properties, required);
      schema["description"] = doc;
      one_of.push_back(std::move(schema));
    }
    return {{"type", "object"}, {"oneOf", std::move(one_of)}};
  }

 protected:
  void list(Field field, const ListAccess& access) override {
    Json items = schema_of_fields([&](Fields& fields) { access.describe(SIZE_MAX, fields); });
    add(field, {{"type", "array"}, {"items", std::move(items)}});
  }

 private:
  void add(Field field, Json schema) {
    schema["description"] = field.doc;
    properties_[field.key] = std::move(schema);
    if (field.required) required_.push_back(field.key);
  }

  static Json closed(const Json& properties, const Json& required) {
    Json schema = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    if (!required.empty()) schema["required"] = required;
    return schema;
  }

  Json properties_ = Json::object();
  Json required_ = Json::array();
  std::vector<std::pair<std::string, SchemaWriter>> branches_;
};

}  // namespace

Json write_fields(const Fields::Describe& describe) {
  Writer writer;
  describe(writer);
  return std::move(writer.json);
}

Json schema_of_fields(const Fields::Describe& describe) {
  SchemaWriter writer;
  describe(writer);
  return writer.finish();
}

}  // namespace thalweg
