#include "plugins/remote/judge.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/core/fields.h"

namespace remote {
namespace {

using Top = std::vector<std::pair<std::string, double>>;

Completion of_token(const Top& top) {
  return {"", {{top.empty() ? "" : top.front().first, top}}, {}, {}};
}
Completion of_text(const std::string& text) {
  return {text, {}, {}, {}};
}

double score(const Judge& judge, const Completion& completion) {
  return judge.read(completion).at(0);
}

std::string unreadable(const Judge& judge, const Completion& completion) {
  try {
    return "read as " + std::to_string(judge.read(completion).at(0));
  } catch (const Unreadable& e) {
    return e.what();
  }
}

TEST(BareToken, HasNeitherMarksNorCase) {
  for (const auto* token : {"Yes", " yes", "\xE2\x96\x81YES", "\xC4\xA0yes", "\xC4\x8Ayes\n", "y e s"})
    EXPECT_EQ(bare_token(token), "yes") << token;
}

TEST(PYes, IsTheSigmoidOfTheDifference) {
  const auto judge = p_yes({});
  EXPECT_NEAR(score(*judge, of_token({{"Yes", std::log(0.6)}, {"No", std::log(0.3)}})), 0.6 / 0.9, 1e-12);
  EXPECT_NEAR(score(*judge, of_token({{"No", std::log(0.75)}, {" yes", std::log(0.25)}, {"x", -9}})), 0.25,
              1e-12);
  // Spellings add up.
  EXPECT_NEAR(
      score(*judge, of_token({{"Yes", std::log(0.3)}, {" yes", std::log(0.3)}, {"no", std::log(0.2)}})),
      0.6 / 0.8, 1e-12);
}

TEST(PYes, BoundsTheSideThatIsNotThere) {
  const auto judge = p_yes({});
  // "no" is at most as likely as "x".
  EXPECT_NEAR(score(*judge, of_token({{"yes", std::log(0.9)}, {"x", std::log(0.01)}})), 0.9 / 0.91, 1e-12);
  EXPECT_NEAR(score(*judge, of_token({{"no", std::log(0.9)}, {"x", std::log(0.01)}})), 0.01 / 0.91, 1e-12);
}

TEST(PYes, TheSideThatIsNotThereHasNoMoreThanWhatIsLeft) {
  const auto judge = p_yes({});
  EXPECT_NEAR(score(*judge, of_token({{"yes", std::log(0.9)}, {"x", std::log(0.08)}})), 0.9 / 0.92, 1e-12);
  EXPECT_NEAR(score(*judge, of_token({{"no", std::log(0.9)}, {"x", std::log(0.08)}})), 0.02 / 0.92, 1e-12);
  // Rounded probabilities may add up to more than 1.
  EXPECT_EQ(score(*judge, of_token({{"yes", 0.0}, {"x", -20}})), 1);
  EXPECT_EQ(score(*judge, of_token({{"no", 0.0}, {"x", -20}})), 0);
}

TEST(PYes, OneTokenBoundsNothing) {
  const auto judge = p_yes({});
  EXPECT_NE(unreadable(*judge, of_token({{"yes", -0.01}})).find("no is not there"), std::string::npos);
  EXPECT_NE(unreadable(*judge, of_token({{"no", -0.01}})).find("top_logprobs"), std::string::npos);
}

TEST(PYes, IsNotReadWithoutEnoughOfBoth) {
  const auto judge = p_yes({});
  EXPECT_NE(unreadable(*judge, of_token({{"maybe", -0.1}})).find("neither"), std::string::npos);
  EXPECT_NE(
      unreadable(*judge, of_token({{"maybe", std::log(0.7)}, {"yes", std::log(0.3)}})).find("min_coverage"),
      std::string::npos);
  EXPECT_NE(unreadable(*judge, of_text("yes")).find("log-probabilities"), std::string::npos);
  EXPECT_NE(unreadable(*judge, {"", {{" ", {{"yes", -0.1}}}}, {}, {}}).find("no token"), std::string::npos);
  PYesOptions lenient;
  lenient.min_coverage = 0.1;
  EXPECT_NEAR(score(*p_yes(lenient),
                    of_token({{"maybe", std::log(0.6)}, {"yes", std::log(0.3)}, {"no", std::log(0.1)}})),
              0.75, 1e-12);
}

TEST(PYes, RefusesWordsThatAreBoth) {
  PYesOptions options;
  options.no = {" YES"};
  EXPECT_THROW(p_yes(options), thalweg::Error);
  options.no = {};
  EXPECT_THROW(p_yes(options), thalweg::Error);
  options.no = {" "};
  EXPECT_THROW(p_yes(options), thalweg::Error);
}

const LevelOptions kDeqa = {{{"excellent", 5}, {"good", 4}, {"fair", 3}, {"poor", 2}, {"bad", 1}}, 0};

TEST(LevelLogits, IsTheMeanUnderTheSoftmax) {
  const auto judge = level_logits(kDeqa);
  const Top top = {{"excellent", std::log(0.4)}, {" Good", std::log(0.2)}, {"fa", std::log(0.1)},
                   {"poor", std::log(0.05)},     {"bad", std::log(0.05)},  {"the", std::log(0.2)}};
  EXPECT_NEAR(score(*judge, of_token(top)), (5 * 0.4 + 4 * 0.2 + 3 * 0.1 + 2 * 0.05 + 0.05) / 0.8, 1e-12);
}

TEST(LevelLogits, NeedsEveryLevelAndOnlyItsOwnTokens) {
  const auto judge = level_logits(kDeqa);
  EXPECT_NE(unreadable(*judge, of_token({{"excellent", -0.1}, {"good", -3}, {"fair", -3}, {"poor", -5}}))
                .find("\"bad\""),
            std::string::npos);
  // "p" begins two of these.
  const auto two = level_logits({{{"poor", 1}, {"perfect", 2}}, 0});
  EXPECT_NE(unreadable(*two, of_token({{"p", -0.1}, {"poor", -3}})).find("\"perfect\""), std::string::npos);
  EXPECT_NEAR(score(*two, of_token({{"p", -0.1}, {"poor", std::log(0.1)}, {"perf", std::log(0.1)}})), 1.5,
              1e-12);
  EXPECT_THROW(level_logits({{{"good", 1}, {" Good", 2}}, 0}), thalweg::Error);
  auto covered = kDeqa;
  covered.min_coverage = 0.9;
  EXPECT_NE(unreadable(*level_logits(covered),
                       of_token({{"excellent", -3}, {"good", -3}, {"fair", -3}, {"poor", -3}, {"bad", -3}}))
                .find("min_coverage"),
            std::string::npos);
}

TEST(RegexJudge, ReadsOneNumberThatMatchesOnce) {
  const auto judge = regex({R"(Final Score:\s*([-+0-9.eE]+))", 1, 5});
  EXPECT_EQ(score(*judge, of_text("It is fine.\nFinal Score: 4.25\n")), 4.25);
  EXPECT_EQ(score(*judge, of_text("<think>Final Score: 1</think> Final Score: 2")), 2);
  for (const auto* text :
       {"", "Score: 4", "Final Score: 4 Final Score: 4", "Final Score: 6", "Final Score: 0.9",
        "Final Score: 1e400", "Final Score: 4..", "Final Score: -", "<think>Final Score: 3", "\xff"})
    EXPECT_NE(unreadable(*judge, of_text(text)).substr(0, 7), "read as") << text;
  EXPECT_NE(unreadable(*judge, of_text(std::string(70000, ' ') + "Final Score: 3")).substr(0, 7), "read as4");
}

TEST(RegexJudge, APatternThatRunsAwayIsStopped) {
  const auto judge = regex({"(?:a+)+(b)", 0, 5});
  EXPECT_NE(unreadable(*judge, of_text(std::string(40, 'a'))).find("U_REGEX_TIME_OUT"), std::string::npos);
}

TEST(RegexJudge, RefusesPatternsWithoutOneGroup) {
  EXPECT_THROW(regex({"score", 0, 1}), thalweg::Error);
  EXPECT_THROW(regex({"(a)(b)", 0, 1}), thalweg::Error);
  EXPECT_THROW(regex({"(a", 0, 1}), thalweg::Error);
}

const JsonOptions kFlex = {{{"alignment", 0, 10}, {"quality", 0, 10}}, true, 10, 0.5};

TEST(JsonJudge, ReadsExactlyItsFields) {
  const auto judge = json(kFlex);
  EXPECT_EQ(judge->dimensions(), (std::vector<std::string>{"alignment", "quality"}));
  EXPECT_EQ(judge->read(of_text(R"({"quality": 4, "alignment": 6.25})")), (std::vector<double>{6.25, 4}));
  for (const auto* text :
       {R"({"quality": 4})", R"({"quality": 4, "alignment": 6, "x": 1})",
        R"({"quality": 4, "alignment": "6"})", R"({"quality": 4, "alignment": 11})",
        R"({"quality": 4, "alignment": 5})", R"([4, 6])", R"(6)",
        R"({"quality": 4, "alignment": 6} and more)", R"({"quality": 4, "alignment": 6, "alignment": 6})",
        R"({"quality": NaN, "alignment": 6})", R"({"quality": 1e400, "alignment": 6})", "", "{"})
    EXPECT_NE(unreadable(*judge, of_text(text)).substr(0, 7), "read as") << text;
}

TEST(JsonJudge, AsksForThatForm) {
  const auto format = json(kFlex)->response_format();
  EXPECT_EQ(format.at("type"), "json_schema");
  const auto& schema = format.at("json_schema").at("schema");
  EXPECT_TRUE(format.at("json_schema").at("strict").get<bool>());
  EXPECT_EQ(schema.at("required"), (thalweg::Json{"alignment", "quality"}));
  EXPECT_EQ(schema.at("properties").at("quality").at("maximum"), 10.0);
}

std::string answer(const std::string& places, const std::string& content = "\"x\"") {
  return R"({"choices": [{"message": {"content": )" + content + R"(}, "logprobs": {"content": [)" + places +
         R"(]}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3}})";
}
std::string place(const std::string& token, const std::string& top = "") {
  return R"({"token": ")" + token + R"(", "logprob": -0.1, "top_logprobs": [)" + top + "]}";
}

TEST(Completion, IsReadWithItsUsage) {
  const auto c = read_completion(
      answer(place("yes", R"({"token": "yes", "logprob": -0.5}, {"token": "no", "logprob": -9999.0})")));
  EXPECT_EQ(c.content, "x");
  EXPECT_EQ(c.input_tokens, 12);
  EXPECT_EQ(c.output_tokens, 3);
  ASSERT_EQ(c.places.size(), 1u);
  ASSERT_EQ(c.places[0].top.size(), 1u);  // -9999: not among them
  EXPECT_EQ(c.places[0].top[0].second, -0.5);
}

TEST(Completion, TheFirstPlaceIsBehindBlanksAndThoughts) {
  const auto c =
      read_completion(answer(place("\\n") + "," + place("<") + "," + place("think") + "," + place(">") + "," +
                             place("no") + "," + place("</think>") + "," + place(" ") + "," + place("yes")));
  ASSERT_NE(first_place(c), nullptr);
  EXPECT_EQ(first_place(c)->token, "yes");
  EXPECT_EQ(first_place(read_completion(answer(place("<think>") + "," + place("yes")))), nullptr);
  EXPECT_EQ(first_place(read_completion(answer(place(" no"))))->token, " no");
}

TEST(Completion, RefusesWhatIsNone) {
  for (const auto& body :
       {std::string(""), std::string("{"), std::string("[]"), std::string("{}"),
        std::string(R"({"choices": []})"), std::string(R"({"choices": [1]})"),
        std::string(R"({"choices": [{"message": {}}]})"),
        std::string(R"({"choices": [{"message": {"content": 3}}]})"), answer(place("x"), "7"), answer("3"),
        answer(R"({"token": 3, "top_logprobs": []})"),
        answer(place("x", R"({"token": "yes", "logprob": "-1"})")),
        answer(place("x", R"({"token": "yes", "logprob": 2})")),
        answer(place("x", R"({"token": "yes", "logprob": -1e999})"))})
    EXPECT_THROW(read_completion(body), Unreadable) << body;
}

}  // namespace
}  // namespace remote
