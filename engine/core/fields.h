// One description of an options struct serves three walks: reading a job (types, bounds, unknown keys),
// writing the resolved job (every default spelt out) and writing the JSON schema. A struct is described by
// a function `void describe(Fields&, Options&)` that names its fields once.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

struct Field {
  const char* key;
  const char* doc;
  bool required = false;
};

class Fields {
 public:
  using Describe = std::function<void(Fields&)>;
  struct Alternative {
    std::string name;
    const char* doc;
    Describe describe;
  };
  /// Elements of a list, seen by index.
  struct ListAccess {
    std::function<size_t()> size;
    std::function<void(size_t)> resize;
    std::function<void(size_t, Fields&)> describe;
  };

  virtual ~Fields() = default;

  /// Bounds are inclusive.
  virtual void number(Field field, double& value, double low, double high) = 0;
  virtual void integer(Field field, int64_t& value, int64_t low, int64_t high) = 0;
  virtual void boolean(Field field, bool& value) = 0;
  virtual void text(Field field, std::string& value) = 0;
  virtual void choice(Field field, std::string& value, const std::vector<std::string>& names) = 0;
  virtual void texts(Field field, std::vector<std::string>& value) = 0;
  /// Numbers by name; `{"soft": 0.5}`.
  virtual void numbers(Field field, std::vector<std::pair<std::string, double>>& value, double low,
                       double high) = 0;
  /// An object whose keys belong to someone else (a plugin's config).
  virtual void foreign(Field field, Json& value) = 0;
  virtual void object(Field field, const Describe& describe) = 0;
  /// An object that may be absent; `present` says whether it is there.
  virtual void optional_object(Field field, bool& present, const Describe& describe) = 0;
  /// The text at `field.key` picks one of the alternatives, whose fields stand beside it.
  virtual void variant(Field field, std::string& tag, const std::vector<Alternative>& alternatives) = 0;

  template <typename T, typename F>
  void list(Field field, std::vector<T>& values, F describe_one) {
    list(field, ListAccess{[&values] { return values.size(); }, [&values](size_t n) { values.resize(n); },
                           [&values, describe_one](size_t i, Fields& f) {
                             // The schema walk has no elements: it describes a default one.
                             T blank{};
                             describe_one(f, i < values.size() ? values[i] : blank);
                           }});
  }

  /// JSON pointer of the object being described; "" for the whole job.
  virtual std::string pointer() const { return ""; }

 protected:
  virtual void list(Field field, const ListAccess& access) = 0;
};

/// Reads `value` (an object) into the described fields. Throws Error naming the JSON pointer for a wrong
/// type, a value out of bounds, a missing required key, or a key that nothing reads (with the nearest known
/// one).
void read_fields(const Json& value, const std::string& pointer, const Fields::Describe& describe);

/// The described fields as JSON, every default included.
Json write_fields(const Fields::Describe& describe);

/// JSON schema (draft 7) of the described object, without the "$schema" key.
Json schema_of_fields(const Fields::Describe& describe);

/// A key as one token of a JSON pointer ("~" and "/" escaped).
std::string pointer_token(const std::string& key);

}  // namespace thalweg
