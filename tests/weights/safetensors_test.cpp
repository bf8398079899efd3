#include "engine/weights/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/weights/dtypes.h"
#include "tests/weights/files.h"

namespace thalweg {
namespace {

using testing::Folder;
using testing::safetensors_bytes;

TensorMap one_of_each() {
  const auto values = at::arange(24, at::kDouble).view({2, 3, 4}) - 7.0;
  TensorMap tensors;
  for (const auto dtype : {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf, at::kBFloat16,
                           at::kFloat, at::kDouble, at::kFloat8_e4m3fn, at::kFloat8_e5m2})
    tensors[std::string("t.") + at::toString(dtype)] = values.abs().to(dtype);
  tensors["bool"] = values > 0;
  tensors["scalar"] = at::scalar_tensor(2.5);
  tensors["empty"] = at::empty({0, 5}, at::kHalf);
  tensors["strange \"name\"\n\xC3\xA4"] = at::ones({1});
  return tensors;
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const Folder folder;
  const auto written = one_of_each();
  const Metadata metadata{{"format", "pt"}, {"text", "quotes \" and \xE2\x82\xAC"}};
  write_safetensors(folder / "a.safetensors", written, metadata);
  const auto read = read_safetensors(folder / "a.safetensors");
  EXPECT_EQ(read.metadata, metadata);
  ASSERT_EQ(read.tensors.size(), written.size());
  for (const auto& [name, tensor] : written) {
    const auto& other = read.tensors.at(name);
    ASSERT_EQ(other.scalar_type(), tensor.scalar_type()) << name;
    ASSERT_EQ(other.sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(other.to(at::kDouble), tensor.to(at::kDouble))) << name;
  }
}

// The bytes that safetensors 0.8.0 (Python) writes for the same tensors and metadata.
TEST(Safetensors, WritesTheBytesOfTheReference) {
  const Folder folder;
  write_safetensors(folder / "a.safetensors",
                    {{"b.weight", at::tensor({1.0f, -2.0f, 0.5f}).view({3, 1})}, {"a", at::tensor({3.0f})}},
                    {{"format", "pt"}});
  const auto header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("b.weight":{"dtype":"F32","shape":[3,1],"data_offsets":[4,16]}}    )";
  const std::string data("\x00\x00\x40\x40\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\x00\x3f", 16);
  EXPECT_EQ(read_file(folder / "a.safetensors"), safetensors_bytes(header, data));
}

TEST(Safetensors, TensorsAliasTheFileAndKeepItAlive) {
  const Folder folder;
  const auto path = folder / "a.safetensors";
  write_safetensors(path, {{"x", at::arange(4096, at::kFloat)}, {"y", at::ones({3})}});
  at::Tensor x, y;
  {
    auto file = read_safetensors(path);
    x = file.tensors.at("x");
    y = file.tensors.at("y");
  }
  std::filesystem::remove(path);
  EXPECT_EQ(x.sum().item<double>(), 4095.0 * 4096.0 / 2.0);
  const auto distance =
      static_cast<const char*>(y.const_data_ptr()) - static_cast<const char*>(x.const_data_ptr());
  EXPECT_EQ(distance, 4096 * 4);
}

TEST(Safetensors, WritingIntoATensorLeavesTheFileAlone) {
  const Folder folder;
  const auto path = folder / "a.safetensors";
  write_safetensors(path, {{"x", at::ones({8})}});
  read_safetensors(path).tensors.at("x").fill_(7.0);
  EXPECT_TRUE(at::equal(read_safetensors(path).tensors.at("x"), at::ones({8})));
}

TEST(Safetensors, UnalignedTensorsAreCopied) {
  const Folder folder;
  // 1 byte, then floats: no multiple of 4, whatever the header's length.
  const auto header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}} )";
  for (int pad = 0; pad < 4; ++pad) {
    const std::string data("\x05\x00\x00\x80\x3f\x00\x00\x00\xc0", 9);
    const auto path = folder.write("u.safetensors", safetensors_bytes(header + std::string(pad, ' '), data));
    const auto b = read_safetensors(path).tensors.at("b");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b.const_data_ptr()) % 4, 0u);
    EXPECT_TRUE(at::equal(b, at::tensor({1.0f, -2.0f})));
  }
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  const Folder folder;
  const auto read = [&](const std::string& header, const std::string& data) {
    return read_safetensors(folder.write("ok.safetensors", safetensors_bytes(header, data)));
  };
  EXPECT_TRUE(read("{}", "").tensors.empty());
  EXPECT_EQ(read(R"({"__metadata__":{}})", "").metadata.size(), 0u);
  // Any order of tensors and fields, white space, an empty tensor between others.
  const auto file = read(R"({ "z" : {"shape":[1],"data_offsets":[1,2],"dtype":"U8"},
      "e":{"dtype":"F64","shape":[3,0],"data_offsets":[1,1]}, "a":{"data_offsets":[0,1],"dtype":"I8","shape":[]} })",
                         "\xff\x02");
  EXPECT_EQ(file.tensors.at("a").item<int>(), -1);
  EXPECT_EQ(file.tensors.at("z").item<int>(), 2);
  EXPECT_EQ(file.tensors.at("e").sizes(), (std::vector<int64_t>{3, 0}));
  // NaN is a number to the format.
  EXPECT_TRUE(read(R"({"n":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", "\xff\x7f")
                  .tensors.at("n")
                  .isnan()
                  .item<bool>());
}

}  // namespace
}  // namespace thalweg
