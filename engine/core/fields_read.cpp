#include <cmath>
#include <set>
#include <sstream>

#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "engine/core/names.h"

namespace thalweg {
namespace {

std::string shown(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

class Reader final : public Fields {
 public:
  Reader(const Json& object, std::string pointer) : object_(object), pointer_(std::move(pointer)) {
    if (!object_.is_object()) throw Error(place(), "must be an object");
  }

  void number(Field field, double& value, double low, double high) override {
    if (const Json* json = find(field)) value = checked_number(*json, at(field), low, high);
  }

  void integer(Field field, int64_t& value, int64_t low, int64_t high) override {
    const Json* json = find(field);
    if (!json) return;
    if (!json->is_number_integer()) throw Error(at(field), "must be an integer, not " + kind(*json));
    const bool above = json->is_number_unsigned() && json->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
    if (above || json->get<int64_t>() < low || json->get<int64_t>() > high)
      throw Error(at(field), "must be from " + std::to_string(low) + " to " + std::to_string(high) +
                                 ", not " + json->dump());
    value = json->get<int64_t>();
  }

  void boolean(Field field, bool& value) override {
    const Json* json = find(field);
    if (!json) return;
    if (!json->is_boolean()) throw Error(at(field), "must be true or false, not " + kind(*json));
    value = json->get<bool>();
  }

  void text(Field field, std::string& value) override {
    const Json* json = find(field);
    if (!json) return;
    auto text = checked_text(*json, at(field));
    // Empty means absent where things are written out, and there the default would come back.
    if (text.empty() && !value.empty())
      throw Error(at(field), "must not be empty; leave it out for \"" + value + "\"");
    value = std::move(text);
  }

  void choice(Field field, std::string& value, const std::vector<std::string>& names) override {
    const Json* json = find(field);
    if (!json) return;
    value = checked_text(*json, at(field));
    if (std::find(names.begin(), names.end(), value) == names.end())
      throw Error(at(field), "knows no \"" + printable(value, 80) + "\"" + suggestion(value, names));
  }

  void texts(Field field, std::vector<std::string>& value) override {
    const Json* json = find(field);
    if (!json) return;
    if (!json->is_array()) throw Error(at(field), "must be a list of texts, not " + kind(*json));
    value.clear();
    for (size_t i = 0; i < json->size(); ++i)
      value.push_back(checked_text((*json)[i], at(field) + "/" + std::to_string(i)));
  }

  void numbers(Field field, std::vector<std::pair<std::string, double>>& value, double low,
               double high) override {
    const Json* json = find(field);
    if (!json) return;
    if (!json->is_object()) throw Error(at(field), "must be an object of numbers, not " + kind(*json));
    value.clear();
    for (const auto& [key, entry] : json->items())
      value.emplace_back(key, checked_number(entry, at(field) + "/" + pointer_token(key), low, high));
  }

  void foreign(Field field, Json& value) override {
    const Json* json = find(field);
    if (!json) return;
    if (!json->is_object()) throw Error(at(field), "must be an object, not " + kind(*json));
    value = *json;
  }

  void object(Field field, const Describe& describe) override {
    static const Json kEmpty = Json::object();
    const Json* json = find(field);
    read_fields(json ? *json : kEmpty, at(field), describe);
  }

  void optional_object(Field field, bool& present, const Describe& describe) override {
    const Json* json = find(field);
    if (!json) return;
    present = true;
    read_fields(*json, at(field), describe);
  }

  void variant(Field field, std::string& tag, const std::vector<Alternative>& alternatives) override {
    std::vector<std::string> names;
    for (const auto& alternative : alternatives) names.push_back(alternative.name);
    choice(field, tag, names);
    for (const auto& alternative : alternatives)
      if (alternative.name == tag) alternative.describe(*this);
  }

  std::string pointer() const override { return pointer_; }

  void refuse_unread() const {
    for (const auto& [key, value] : object_.items()) {
      if (read_.count(key)) continue;
      throw Error(pointer_ + "/" + printable(pointer_token(key), 200),
                  "unknown key" + suggestion(key, {read_.begin(), read_.end()}));
    }
  }

 protected:
  void list(Field field, const ListAccess& access) override {
    const Json* json = find(field);
    if (!json) return;
    if (!json->is_array()) throw Error(at(field), "must be a list, not " + kind(*json));
    access.resize(0);
    for (size_t i = 0; i < json->size(); ++i) {
      access.resize(i + 1);  // one by one: a million wrong elements cost no more than the first
      read_fields((*json)[i], at(field) + "/" + std::to_string(i),
                  [&](Fields& fields) { access.describe(i, fields); });
    }
  }

 private:
  static std::string kind(const Json& json) { return std::string("a value of type ") + json.type_name(); }
  std::string place() const { return pointer_.empty() ? "/" : pointer_; }
  std::string at(const Field& field) const { return pointer_ + "/" + pointer_token(field.key); }

  const Json* find(const Field& field) {
    read_.insert(field.key);
    const auto it = object_.find(field.key);
    if (it != object_.end()) return &*it;
    if (field.required) throw Error(at(field), std::string("is missing: ") + field.doc);
    return nullptr;
  }

  static double checked_number(const Json& json, const std::string& place, double low, double high) {
    if (!json.is_number()) throw Error(place, "must be a number, not " + kind(json));
    const double number = json.get<double>();
    if (!std::isfinite(number) || number < low || number > high)
      throw Error(place, "must be from " + shown(low) + " to " + shown(high) + ", not " + json.dump());
    return number;
  }

  static std::string checked_text(const Json& json, const std::string& place) {
    if (!json.is_string()) throw Error(place, "must be a text, not " + kind(json));
    auto text = json.get<std::string>();
    // The file system and plugins would take it for the end.
    if (text.find('\0') != std::string::npos) throw Error(place, "holds a NUL character");
    return text;
  }

  const Json& object_;
  std::string pointer_;
  std::set<std::string> read_;
};

}  // namespace

void read_fields(const Json& value, const std::string& pointer, const Fields::Describe& describe) {
  Reader reader(value, pointer);
  describe(reader);
  reader.refuse_unread();
}

std::string pointer_token(const std::string& key) {
  std::string token;
  for (const char c : key) token += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return token;
}

}  // namespace thalweg
