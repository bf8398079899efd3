// One kind out of a table of kinds (methods, samplers, steering), which owns its options. A kind is one file:
// a private class with its options, a maker, and its row in the table; nobody else sees the options.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "engine/core/names.h"

namespace thalweg {

/// Base of a kind that is copied as a value, options and all:
/// `class Heun final : public Cloneable<Heun, SamplerKind>`. `Base`, or a base of it, declares clone() pure.
template <typename Derived, typename Base>
class Cloneable : public Base {
 public:
  using Base::Base;
  auto clone() const -> decltype(std::declval<const Base&>().clone()) final {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
};

/// A row of a table: what a job calls the kind, what its documentation says, and a new one with every
/// default.
template <typename Kind>
struct KindRow {
  const char* name;
  const char* doc;
  std::unique_ptr<Kind> (*make)();
};

/// The kind of one row and its name; a value. `Kind` has `std::unique_ptr<Kind> clone() const`.
template <typename Kind>
class Chosen {
 public:
  using Table = std::vector<KindRow<Kind>>;

  /// Nothing yet.
  Chosen() = default;
  explicit Chosen(const KindRow<Kind>& row) : name_(row.name), kind_(row.make()) {}
  /// The row of that name, with its defaults. Throws Error for a name that the table does not hold.
  Chosen(const Table& table, const std::string& name) : Chosen(row_named(table, name)) {}

  Chosen(const Chosen& other) : name_(other.name_), kind_(other.kind_ ? other.kind_->clone() : nullptr) {}
  Chosen(Chosen&&) noexcept = default;
  Chosen& operator=(Chosen other) noexcept {
    std::swap(name_, other.name_);
    std::swap(kind_, other.kind_);
    return *this;
  }
  ~Chosen() = default;

  const std::string& name() const { return name_; }
  const Kind& operator*() const { return *kind_; }
  Kind& operator*() { return *kind_; }
  const Kind* operator->() const { return kind_.get(); }
  Kind* operator->() { return kind_.get(); }

  /// The text at `field.key` picks the row; the options of its kind stand beside it, as
  /// `describe_one(kind, fields)` says. Another name than before begins with that row's defaults. A schema
  /// shows the defaults of all rows but the chosen one, of which it shows the values.
  template <typename Describe>
  void describe(Fields& fields, Field field, const Table& table, Describe describe_one) {
    std::string tag = name_;
    std::vector<Fields::Alternative> alternatives;
    for (const auto& row : table)
      alternatives.push_back({row.name, row.doc, [&](Fields& beside) {
                                if (tag != row.name) return describe_one(*row.make(), beside);
                                if (name_ != tag) *this = Chosen(row);
                                describe_one(*kind_, beside);
                              }});
    fields.variant(field, tag, alternatives);
  }

  /// The same with `kind.describe(fields)`.
  void describe(Fields& fields, Field field, const Table& table) {
    describe(fields, field, table, [](Kind& kind, Fields& beside) { kind.describe(beside); });
  }

 private:
  static const KindRow<Kind>& row_named(const Table& table, const std::string& name) {
    for (const auto& row : table)
      if (name == row.name) return row;
    throw Error("", "knows no \"" + name + "\"" + suggestion(name, names_of(table)));
  }

  std::string name_;
  std::unique_ptr<Kind> kind_;
};

}  // namespace thalweg
