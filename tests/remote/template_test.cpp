#include "plugins/remote/prompt_template.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace remote {
namespace {

using Kind = Piece::Kind;

std::string shown(const std::vector<Piece>& pieces) {
  std::string text;
  for (const auto& piece : pieces)
    text += piece.kind == Kind::text    ? "[" + piece.text + "]"
            : piece.kind == Kind::image ? "<image>"
                                        : "<reference>";
  return text;
}

std::string filled(const std::string& text, const std::string& prompt, const std::string& criteria = "C") {
  return shown(PromptTemplate(text, "/template").filled(prompt, criteria));
}

TEST(PromptTemplate, FillsItsSlotsInOrder) {
  EXPECT_EQ(filled("A {prompt}, {criteria}:{image:0}{reference:0} end", "red"),
            "[A red, C:]<image><reference>[ end]");
  EXPECT_EQ(filled("{image:0}", "red"), "<image>");
  EXPECT_EQ(filled("{prompt}{prompt}", "ab"), "[abab]");
}

TEST(PromptTemplate, NeverReadsAgainWhatItInserted) {
  EXPECT_EQ(filled("say {prompt}{image:0}", "{image:0} {criteria} {{prompt}} {nothing}", "{prompt}"),
            "[say {image:0} {criteria} {{prompt}} {nothing}]<image>");
  EXPECT_EQ(filled("{criteria} {prompt}", "\"p\" \\ \n", "{image:0}"), "[{image:0} \"p\" \\ \n]");
  // Nor what it inserted together with what stands around it.
  EXPECT_EQ(filled("{{prompt} {image:0}", "image:0}"), "[{image:0} ]<image>");
}

TEST(PromptTemplate, OtherBracesAreText) {
  EXPECT_EQ(filled(R"({"score": 3} {} { prompt } {Prompt} {3} {prompt)", "x"),
            R"([{"score": 3} {} { prompt } {Prompt} {3} {prompt])");
  EXPECT_EQ(filled("{{prompt}} {{anything}} {{image:0}}", "x"), "[{prompt} {anything} {image:0}]");
}

TEST(PromptTemplate, RefusesSlotsThatItDoesNotKnow) {
  for (const auto* text : {"{promt}", "{image:1}", "{image:00}", "{reference:7}", "{image}", "a {score} b"}) {
    try {
      const PromptTemplate t(text, "/template");
      ADD_FAILURE() << text;
    } catch (const thalweg::Error& e) {
      EXPECT_EQ(e.place(), "/template");
    }
  }
  EXPECT_THROW(PromptTemplate("\xff", "/template"), thalweg::Error);
}

TEST(PromptTemplate, LongPromptsAreInsertedWhole) {
  const std::string prompt(100000, '{');
  EXPECT_EQ(filled("{prompt}", prompt), "[" + prompt + "]");
}

}  // namespace
}  // namespace remote
