#include "engine/core/chosen.h"

#include <gtest/gtest.h>

#include "tests/io/scratch.h"

namespace thalweg {
namespace {

class Shape {
 public:
  virtual ~Shape() = default;
  virtual std::unique_ptr<Shape> clone() const = 0;
  virtual void describe(Fields& fields) = 0;
  virtual double area() const = 0;
};

class Square final : public Cloneable<Square, Shape> {
 public:
  void describe(Fields& f) override { f.number({"side", "of the square"}, side_, 0.0, 10.0); }
  double area() const override { return side_ * side_; }

 private:
  double side_ = 2.0;
};

class Rectangle final : public Cloneable<Rectangle, Shape> {
 public:
  void describe(Fields& f) override {
    f.number({"side", "first side"}, a_, 0.0, 10.0);
    f.number({"other", "second side"}, b_, 0.0, 10.0);
  }
  double area() const override { return a_ * b_; }

 private:
  double a_ = 1.0, b_ = 3.0;
};

const Chosen<Shape>::Table& table() {
  static const Chosen<Shape>::Table rows = {
      {"square", "all alike", [] { return std::unique_ptr<Shape>(new Square); }},
      {"rectangle", "two and two", [] { return std::unique_ptr<Shape>(new Rectangle); }}};
  return rows;
}

void read_into(Chosen<Shape>& shape, const std::string& text) {
  read_fields(parse_json(text, "job"), "/shape", [&](Fields& f) {
    shape.describe(f, {"name", "which"}, table());
  });
}

Chosen<Shape> read(const std::string& text) {
  Chosen<Shape> shape(table().front());
  read_into(shape, text);
  return shape;
}

std::string written(Chosen<Shape> shape) {
  return write_fields([&](Fields& f) { shape.describe(f, {"name", "which"}, table()); }).dump();
}

TEST(Chosen, ReadsTheNamedKindWithItsDefaults) {
  EXPECT_EQ(read("{}").name(), "square");
  EXPECT_EQ(read("{}")->area(), 4.0);
  EXPECT_EQ(read(R"({"side":3})")->area(), 9.0);
  const auto rectangle = read(R"({"other":5,"name":"rectangle"})");
  EXPECT_EQ(rectangle.name(), "rectangle");
  EXPECT_EQ(rectangle->area(), 5.0);
}

TEST(Chosen, KeysOfOtherKindsAreUnknown) {
  EXPECT_ERROR(read(R"({"other":5})"), "/shape/other: unknown key");
  EXPECT_ERROR(read(R"({"name":"squar"})"), "did you mean \"square\"");
  EXPECT_ERROR(read(R"({"name":"rectangle","other":11})"), "/shape/other: must be from 0 to 10");
}

TEST(Chosen, AnotherNameBeginsWithItsDefaultsAndTheSameKeepsItsValues) {
  auto shape = read(R"({"side":3})");
  read_into(shape, "{}");
  EXPECT_EQ(shape->area(), 9.0);
  read_into(shape, R"({"name":"rectangle"})");
  EXPECT_EQ(shape->area(), 3.0);
  read_into(shape, R"({"name":"square"})");
  EXPECT_EQ(shape->area(), 4.0);
}

TEST(Chosen, CopiesAreTheirOwn) {
  auto first = read(R"({"side":3})");
  auto second = first;
  read_into(second, R"({"side":5})");
  EXPECT_EQ(first->area(), 9.0);
  EXPECT_EQ(second->area(), 25.0);
  first = second;
  read_into(second, R"({"name":"rectangle"})");
  EXPECT_EQ(first.name(), "square");
  EXPECT_EQ(first->area(), 25.0);
  EXPECT_TRUE(Chosen<Shape>().name().empty());
  EXPECT_TRUE(Chosen<Shape>(Chosen<Shape>()).name().empty());
}

TEST(Chosen, WhatIsWrittenReadsAsItself) {
  const auto shape = read(R"({"name":"rectangle","side":7})");
  EXPECT_EQ(written(shape), R"({"name":"rectangle","side":7.0,"other":3.0})");
  EXPECT_EQ(written(read(written(shape))), written(shape));
}

TEST(Chosen, TheSchemaShowsEveryKindAndLeavesTheChoice) {
  Chosen<Shape> shape(table(), "rectangle");
  const auto schema = schema_of_fields([&](Fields& f) { shape.describe(f, {"name", "which"}, table()); });
  ASSERT_EQ(schema["oneOf"].size(), 2u);
  EXPECT_EQ(schema["oneOf"][0]["properties"]["side"]["default"], 2.0);
  EXPECT_FALSE(schema["oneOf"][0]["properties"].contains("other"));
  EXPECT_EQ(schema["oneOf"][1]["properties"]["other"]["default"], 3.0);
  EXPECT_EQ(schema["oneOf"][0]["required"].dump(), R"(["name"])");
  EXPECT_FALSE(schema["oneOf"][1].contains("required"));  // the chosen one may go without its name
  EXPECT_EQ(shape.name(), "rectangle");
  Chosen<Shape> none;
  const auto of_none = schema_of_fields([&](Fields& f) {
    none.describe(f, {"name", "which", true}, table());
  });
  EXPECT_EQ(of_none["oneOf"].size(), 2u);
  EXPECT_TRUE(none.name().empty());
}

TEST(Chosen, UnknownNamesInCodeAreErrors) {
  EXPECT_ERROR(Chosen<Shape>(table(), "circle"), "knows no \"circle\" (known: square, rectangle)");
}

}  // namespace
}  // namespace thalweg
