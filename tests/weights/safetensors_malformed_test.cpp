// One file for each rule of the format, each refused with its own message and without a look at the data.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/weights/mapped_file.h"
#include "engine/weights/safetensors.h"
#include "tests/weights/files.h"

namespace thalweg {
namespace {

using testing::complaint;
using testing::Folder;
using testing::safetensors_bytes;

struct Case {
  const char* name;
  std::string bytes;
  const char* message;
};

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + rest;
}

/// A tensor "a" with these fields and `data` behind it.
std::string with_fields(const std::string& fields, const std::string& data = "") {
  return safetensors_bytes("{\"a\":{" + fields + "}}", data);
}

/// A tensor "a" of this dtype, shape and span.
std::string tensor(const std::string& dtype, const std::string& shape, const std::string& span,
                   const std::string& data) {
  return with_fields("\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + span, data);
}

const std::string kGood = R"("dtype":"U8","shape":[1],"data_offsets":[0,1])";
const std::string kFour(4, '\1');

std::vector<Case> cases_of_the_frame() {
  return {
      {"empty file", "", "is 0 bytes long"},
      {"7 bytes", std::string(7, '\0'), "is 7 bytes long"},
      {"huge length", with_length(UINT64_MAX, "{}"), "above the format's limit"},
      {"length above the limit", with_length(100'000'001, "{}"), "claims 100000001 bytes, above"},
      {"length beyond the file", with_length(3, "{}"), "more than the file has"},
      {"no header", with_length(0, ""), "the header is empty"},
      {"pickle", safetensors_bytes("\x80\x02}q"), "does not start with '{'"},
      {"leading space", safetensors_bytes(" {}"), "does not start with '{'"},
      {"list", safetensors_bytes("[]"), "does not start with '{'"},
      {"syntax", safetensors_bytes("{\"a\":}"), "not valid JSON near its byte 6"},
      {"unfinished", safetensors_bytes("{\"a\":"), "not valid JSON near its byte"},
      {"text after the object", safetensors_bytes("{} {}"), "not valid JSON near its byte 4"},
      {"NUL", safetensors_bytes(std::string("{}\0hidden", 9)), "NUL byte"},
      {"not UTF-8", safetensors_bytes("{\"\xff\":{" + kGood + "}}", "x"), "not valid UTF-8"},
      {"deep", safetensors_bytes("{\"a\":" + std::string(100000, '[')), "described by a list"},
      {"comment", safetensors_bytes("{/**/}"), "not valid JSON"},
  };
}

std::vector<Case> cases_of_the_names() {
  return {
      {"same tensor twice", safetensors_bytes("{\"a\":{" + kGood + "},\"a\":{" + kGood + "}}", "x"),
       "\"a\" is described twice"},
      {"metadata twice", safetensors_bytes(R"({"__metadata__":{},"__metadata__":{}})"),
       "\"__metadata__\" is described twice"},
      {"metadata key twice", safetensors_bytes(R"({"__metadata__":{"k":"1","k":"2"}})"), "gives \"k\" twice"},
      {"metadata is a list", safetensors_bytes(R"({"__metadata__":[]})"), "__metadata__ is a list"},
      {"metadata number", safetensors_bytes(R"({"__metadata__":{"k":1}})"), "holds a number at \"k\""},
      {"metadata object", safetensors_bytes(R"({"__metadata__":{"k":{}}})"), "holds an object at \"k\""},
      {"tensor is a text", safetensors_bytes(R"({"a":"F32"})"), "\"a\" is described by a text"},
      {"unknown field that is no JSON", with_fields(kGood + ",\"x\":01", "x"), "not valid JSON"},
      {"field twice", with_fields(kGood + ",\"dtype\":\"U8\"", "x"), "dtype is given twice"},
      {"no dtype", with_fields(R"("shape":[1],"data_offsets":[0,1])", "x"), "dtype is missing"},
      {"no shape", with_fields(R"("dtype":"U8","data_offsets":[0,1])", "x"), "shape is missing"},
      {"no offsets", with_fields(R"("dtype":"U8","shape":[1])", "x"), "data_offsets is missing"},
      {"dtype is a number", with_fields(R"("dtype":8,"shape":[1],"data_offsets":[0,1])", "x"),
       "dtype is a number"},
      {"unknown dtype", tensor("F31", "[1]", "[0,4]", kFour), "no dtype \"F31\""},
      {"dtype not read here", tensor("C64", "[1]", "[0,8]", kFour + kFour),
       "of dtype C64, which is not supported"},
      {"control character", safetensors_bytes("{\"a\\u001b[2J\":1}"),
       "tensor \"a?[2J\" is described by a number"},
      {"long name", safetensors_bytes("{\"" + std::string(5000, 'n') + "\":1}"), "nnn...\" is described by"},
  };
}

std::vector<Case> cases_of_the_sizes() {
  const auto two = [](const std::string& first, const std::string& second) {
    return safetensors_bytes(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + first +
                                 R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}",
                             kFour);
  };
  std::string many = "[1";
  for (int i = 0; i < 64; ++i) many += ",1";
  return {
      {"shape is a number", tensor("U8", "1", "[0,1]", "x"), "shape is a number"},
      {"negative size", tensor("U8", "[-1]", "[0,1]", "x"), "its shape holds a negative number"},
      {"fraction", tensor("U8", "[1.0]", "[0,1]", "x"), "its shape holds a fraction"},
      {"nested shape", tensor("U8", "[[1]]", "[0,1]", "x"), "its shape holds a list"},
      {"size above int64", tensor("U8", "[9223372036854775808]", "[0,1]", "x"), "above 2^63 - 1"},
      {"size above uint64", tensor("U8", "[99999999999999999999]", "[0,1]", "x"), "too large a number"},
      {"65 dimensions", tensor("U8", many + "]", "[0,1]", "x"), "more than 64 dimensions"},
      {"product overflows", tensor("U8", "[4294967296,4294967296,2]", "[0,1]", "x"),
       "product of its shape overflows"},
      {"overflow hidden by 0", tensor("U8", "[4294967296,4294967296,0]", "[0,0]", ""),
       "product of its shape overflows"},
      {"bits overflow", tensor("F64", "[4611686018427387904]", "[0,0]", ""), "more than 2^64 bits"},
      {"half a byte", tensor("F4", "[3]", "[0,2]", "xy"), "end within a byte"},
      {"span too long", tensor("F32", "[1]", "[0,8]", kFour + kFour),
       "needs 4 bytes, its data_offsets span 8"},
      {"span too short", tensor("F32", "[2]", "[0,4]", kFour), "needs 8 bytes, its data_offsets span 4"},
      {"one offset", tensor("U8", "[1]", "[0]", "x"), "data_offsets has 1 numbers"},
      {"three offsets", tensor("U8", "[1]", "[0,1,1]", "x"), "more than two numbers"},
      {"negative offset", tensor("U8", "[1]", "[-1,0]", "x"), "data_offsets hold a negative number"},
      {"offset is a text", tensor("U8", "[1]", "[\"0\",1]", "x"), "data_offsets hold a text"},
      {"backwards", tensor("U8", "[1]", "[1,0]", "x"), "end before they begin"},
      {"does not begin at 0", tensor("U8", "[1]", "[1,2]", "xy"), "a hole in the data"},
      {"hole", two("[0,1]", "[2,4]"), "shape needs 2 bytes, its data_offsets span 1"},
      {"hole between", two("[0,2]", "[3,5]"), "tensor \"b\": no tensor covers the bytes before it"},
      {"overlap", two("[0,2]", "[1,3]"), "tensor \"b\": its data overlaps"},
      {"same span", two("[0,2]", "[0,2]"), "its data overlaps"},
      {"cut short", tensor("F32", "[2]", "[0,8]", kFour), "is cut short: the tensors need 8 bytes"},
      {"bytes left", tensor("F32", "[1]", "[0,4]", kFour + "zip"),
       "3 bytes after the last tensor belong to none"},
      {"bytes without tensors", safetensors_bytes("{}", "zip"), "3 bytes after the last tensor"},
      {"bool of 2", tensor("BOOL", "[4]", "[0,4]", std::string("\0\1\2\1", 4)), "neither 0 nor 1"},
  };
}

class Malformed : public ::testing::TestWithParam<Case> {};

TEST_P(Malformed, IsRefusedByName) {
  const Folder folder;
  const auto path = folder.write("bad.safetensors", GetParam().bytes);
  const auto said = complaint([&] { read_safetensors(path); });
  EXPECT_NE(said.find(GetParam().message), std::string::npos) << GetParam().name << ": " << said;
  EXPECT_EQ(said.rfind(path.string() + ": ", 0), 0u) << said;
  EXPECT_LT(said.size(), 400u) << said;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  for (auto& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Frame, Malformed, ::testing::ValuesIn(cases_of_the_frame()), case_name);
INSTANTIATE_TEST_SUITE_P(Names, Malformed, ::testing::ValuesIn(cases_of_the_names()), case_name);
INSTANTIATE_TEST_SUITE_P(Sizes, Malformed, ::testing::ValuesIn(cases_of_the_sizes()), case_name);

TEST(MalformedSafetensors, WhatTheReferenceReaderTakesIsTaken) {
  const Folder folder;
  const auto null = folder.write("null", safetensors_bytes(R"({"__metadata__":null})"));
  EXPECT_TRUE(read_safetensors(null).metadata.empty());
  const auto later = folder.write("later", with_fields(kGood + R"(,"later":{"x":[1,-2e3,null,"\n"]})", "x"));
  EXPECT_EQ(read_safetensors(later).tensors.count("a"), 1u);
}

TEST(MalformedSafetensors, AFileThatChangesItsSizeIsNoticed) {
  const Folder folder;
  const auto path = folder.write("w", with_fields(kGood, "x"));
  const auto file = MappedFile::open(path);
  EXPECT_EQ(complaint([&] { file->require_same_size(); }), "");
  std::filesystem::resize_file(path, 3);
  EXPECT_EQ(complaint([&] { file->require_same_size(); }),
            path.string() + ": changed its size while it was read");
}

TEST(MalformedSafetensors, SizesThatNoTensorCanHave) {
  const Folder folder;
  for (const char* shape : {"[0,4611686018427387904,4611686018427387904]", "[0,9223372036854775807]"}) {
    const auto path = folder.write("e", tensor("F32", shape, "[0,0]", ""));
    EXPECT_NE(complaint([&] { read_safetensors(path); }).find("too large for any tensor"), std::string::npos);
  }
}

TEST(MalformedSafetensors, FilesThatAreNoFiles) {
  const Folder folder;
  EXPECT_NE(complaint([&] { read_safetensors(folder / "none"); }).find("cannot be opened"),
            std::string::npos);
  EXPECT_NE(complaint([&] { read_safetensors(folder.path()); }).find("not a regular file"),
            std::string::npos);
}

TEST(MalformedSafetensors, EveryCutIsNoticed) {
  const Folder folder;
  const auto whole = safetensors_bytes("{\"__metadata__\":{\"k\":\"v\"},\"a\":{" + kGood + "}}", "x");
  EXPECT_EQ(complaint([&] { read_safetensors(folder.write("w", whole)); }), "");
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(complaint([&] { read_safetensors(folder.write("c", whole.substr(0, size))); }), "") << size;
}

// Whatever a byte of the frame becomes, the file is read or refused; a crash or another exception fails the
// test.
TEST(MalformedSafetensors, AnyByteMayBeWrong) {
  const Folder folder;
  const auto whole = safetensors_bytes(
      "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],"
      "\"data_offsets\":[0,8]}}",
      kFour + kFour);
  size_t refused = 0, tried = 0;
  for (size_t at = 0; at < whole.size() - 8; ++at)
    for (const unsigned char value :
         {0x00, 0x09, 0x22, 0x2d, 0x2c, 0x30, 0x39, 0x5b, 0x5d, 0x7b, 0x7d, 0x80, 0xff}) {
      auto bytes = whole;
      bytes[at] = static_cast<char>(value);
      refused += !complaint([&] { read_safetensors(folder.write("f", bytes)); }).empty();
      ++tried;
    }
  EXPECT_GT(refused, tried / 2);
}

TEST(MalformedSafetensors, ManyOverlappingTensorsEndSoon) {
  const Folder folder;
  std::string header = "{";
  for (int i = 0; i < 100000; ++i)
    header += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const auto path = folder.write("many", safetensors_bytes(header + "}", kFour));
  EXPECT_NE(complaint([&] { read_safetensors(path); }).find("overlaps"), std::string::npos);
}

}  // namespace
}  // namespace thalweg
