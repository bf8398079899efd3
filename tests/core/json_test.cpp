#include "engine/core/json.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <fstream>

#include "engine/core/error.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

std::string nested_lists(size_t levels, const std::string& inside = "") {
  return std::string(levels, '[') + inside + std::string(levels, ']');
}

TEST(ParseJson, KeepsTheOrderOfKeys) {
  const auto json = parse_json(R"({"z":1,"a":{"y":2,"b":[{"q":1,"c":2}]}})", "job.json");
  EXPECT_EQ(json.dump(), R"({"z":1,"a":{"y":2,"b":[{"q":1,"c":2}]}})");
}

TEST(ParseJson, NamesThePlaceOfASyntaxError) {
  for (const char* text :
       {"", "{", "{\"a\":}", "[1,]", "{} {}", "nul", "{\"a\":1e999}", "{'a':1}", "NaN", "// x\n{}"})
    EXPECT_ERROR(parse_json(text, "job.json"), "job.json: not valid JSON");
  try {
    parse_json("{", "job.json");
  } catch (const Error& e) {
    EXPECT_EQ(e.place(), "job.json");
  }
}

TEST(ParseJson, RefusesInvalidUtf8) {
  for (const std::string bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"})
    EXPECT_ERROR(parse_json("{\"a\":\"" + bad + "\"}", "job.json"), "not valid JSON");
  EXPECT_ERROR(parse_json("\"\\ud800\"", "job.json"), "not valid JSON");  // half a surrogate pair
  EXPECT_EQ(parse_json("\"\xc3\xbc\\u00fc\"", "job.json").get<std::string>(), "\xc3\xbc\xc3\xbc");
}

TEST(ParseJson, RefusesDuplicateKeys) {
  EXPECT_ERROR(parse_json(R"({"a":1,"a":2})", "p"), "the key \"a\" is given twice");
  EXPECT_ERROR(parse_json(R"({"x":{"b":1,"c":[{}],"b":2}})", "p"), "the key \"b\" is given twice");
  EXPECT_ERROR(parse_json(R"({"a":{"q":1},"b":2,"a":3})", "p"), "the key \"a\" is given twice");
  EXPECT_ERROR(parse_json(R"([{"a":1},{"a":1,"\u0061":2}])", "p"), "the key \"a\" is given twice");
  // The same key in different objects is no duplicate.
  EXPECT_NO_THROW(parse_json(R"([{"a":{"a":[{"a":1},{"a":2}]}},{"a":1,"b":{"a":1}}])", "p"));
}

TEST(ParseJson, LimitsDepth) {
  EXPECT_NO_THROW(parse_json(nested_lists(kMaxJsonDepth, "1"), "p"));
  EXPECT_ERROR(parse_json(nested_lists(kMaxJsonDepth + 1, "1"), "p"), "nested deeper than 64 levels");
  EXPECT_ERROR(parse_json(nested_lists(kMaxJsonDepth + 1), "p"), "nested deeper than 64 levels");
  EXPECT_ERROR(parse_json(std::string(1000000, '['), "p"), "nested deeper than 64 levels");
  std::string objects;
  for (size_t i = 0; i < kMaxJsonDepth + 1; ++i) objects += "{\"a\":";
  EXPECT_ERROR(parse_json(objects, "p"), "nested deeper than 64 levels");
}

TEST(ParseJson, LimitsDepthOfEveryBranch) {
  const auto deep = nested_lists(kMaxJsonDepth - 1, "1");
  EXPECT_NO_THROW(parse_json("[" + deep + "," + deep + "]", "p"));
}

TEST(ParseJson, LooksBehindANul) {
  EXPECT_ERROR(parse_json(std::string_view("{}\0hidden", 9), "p"), "holds a NUL byte");
}

TEST(ParseJson, RefusesAByteOrderMark) {
  EXPECT_ERROR(parse_json("\xEF\xBB\xBF{}", "p"), "byte order mark");
}

TEST(ParseJson, ShowsNoMoreOfAKeyThanFitsALine) {
  const std::string key = "\"\\u001b[2J" + std::string(100000, 'k') + "\"";
  const auto said = error_of([&] { parse_json("{" + key + ":1," + key + ":2}", "p"); });
  EXPECT_NE(said.find("the key \"?[2Jkkk"), std::string::npos) << said;
  EXPECT_LT(said.size(), 200u);
}

// The ordered object of the library takes n * n / 2 comparisons for n keys, here 2 * 10^10.
TEST(ParseJson, TakesManyKeys) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i ? ",\"" : "\"") + std::to_string(i) + "\":0";
  EXPECT_EQ(parse_json(text + "}", "p").size(), 200000u);
  EXPECT_ERROR(parse_json(text + ",\"7\":0}", "p"), "the key \"7\" is given twice");
  EXPECT_EQ(parse_sorted_json(text + "}", "p").at("199999"), 0);
  EXPECT_ERROR(parse_sorted_json(text + ",\"7\":0}", "p"), "the key \"7\" is given twice");
}

TEST(ReadFile, ReadsBytesAsTheyAre) {
  const Scratch scratch;
  const std::string bytes("a\0\r\n\xff", 5);
  write_file(scratch / "x", bytes);
  EXPECT_EQ(read_file(scratch / "x"), bytes);
  EXPECT_EQ(read_file(scratch / "x", 5), bytes);
  EXPECT_ERROR(read_file(scratch / "x", 4), "larger than the 4 bytes allowed");
  EXPECT_ERROR(read_file(scratch / "absent"), "no such file");
  EXPECT_ERROR(read_file(scratch.folder()), "is a folder, not a file");
  ASSERT_EQ(::mkfifo((scratch / "fifo").c_str(), 0600), 0);
  EXPECT_ERROR(read_file(scratch / "fifo"), "is not a regular file");  // and does not wait for a writer
  std::filesystem::create_symlink("loop", scratch / "loop");
  EXPECT_ERROR(read_file(scratch / "loop"), "cannot be opened");
  write_file(scratch / "empty", "");
  EXPECT_EQ(read_file(scratch / "empty"), "");
}

TEST(ParseJsonFile, NamesTheFile) {
  const Scratch scratch;
  write_file(scratch / "job.json", "{\"a\":[1,2]}");
  EXPECT_EQ(parse_json_file(scratch / "job.json")["a"][1], 2);
  write_file(scratch / "bad.json", "{");
  EXPECT_ERROR(parse_json_file(scratch / "bad.json"), (scratch / "bad.json").string() + ": not valid JSON");
  EXPECT_ERROR(parse_json_file(scratch / "job.json", 3), "larger than the 3 bytes allowed");
}

TEST(WriteFile, ReplacesWhatIsThere) {
  const Scratch scratch;
  write_file(scratch / "x", "a long first text");
  write_file(scratch / "x", "short");
  EXPECT_EQ(read_file(scratch / "x"), "short");
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(scratch.folder())) ++entries;
  EXPECT_EQ(entries, 1u);  // nothing temporary is left
  EXPECT_ERROR(write_file(scratch / "absent" / "x", "text"), "cannot be written");
}

}  // namespace
}  // namespace thalweg
