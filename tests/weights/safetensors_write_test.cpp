#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "engine/weights/safetensors.h"
#include "tests/weights/files.h"

namespace thalweg {
namespace {

using testing::complaint;
using testing::Folder;

size_t files_in(const Folder& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++count;
  return count;
}

/// Lets this process write files of at most `bytes`, as a full disk would.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(SafetensorsWriter, AFailureAtAnyByteLeavesTheOldFile) {
  const Folder folder;
  const auto path = folder / "a.safetensors";
  write_safetensors(path, {{"old", at::ones({2})}});
  const auto before = read_file(path);
  const TensorMap next{{"x", at::arange(6, at::kFloat)}, {"y", at::zeros({3}, at::kByte)}};
  write_safetensors(folder / "size", next);
  const auto size = std::filesystem::file_size(folder / "size");
  for (rlim_t bytes = 0; bytes < size; ++bytes) {
    std::string said;
    {
      const FileSizeLimit limit(bytes);
      said = complaint([&] { write_safetensors(path, next); });
    }
    ASSERT_NE(said.find("cannot be written"), std::string::npos) << bytes;
    ASSERT_EQ(read_file(path), before) << bytes;
    ASSERT_EQ(files_in(folder), 2u) << bytes;  // no temporary file is left
  }
  write_safetensors(path, next);
  EXPECT_EQ(read_safetensors(path).tensors.size(), 2u);
}

TEST(SafetensorsWriter, ReplacingAFileLeavesItsReadersAlone) {
  const Folder folder;
  const auto path = folder / "a.safetensors";
  write_safetensors(path, {{"x", at::ones({1000})}});
  const auto held = read_safetensors(path).tensors.at("x");
  write_safetensors(path, {{"x", at::zeros({10})}});
  EXPECT_EQ(held.sum().item<double>(), 1000.0);
  EXPECT_EQ(read_safetensors(path).tensors.at("x").numel(), 10);
}

TEST(SafetensorsWriter, EveryTensorLiesOnItsElementsMultiple) {
  const Folder folder;
  const auto path = folder / "a.safetensors";
  write_safetensors(path, {{"a", at::ones({3}, at::kByte)},
                           {"b", at::ones({3}, at::kFloat)},
                           {"c", at::ones({3}, at::kHalf)},
                           {"d", at::ones({3}, at::kDouble)}});
  const auto text = read_file(path);
  uint64_t length = 0;
  std::memcpy(&length, text.data(), sizeof length);
  EXPECT_EQ(length % 8, 0u);
  const auto header = parse_json(std::string_view(text).substr(8, length), "header");
  for (const auto& [name, bytes] : std::map<std::string, int>{{"a", 1}, {"b", 4}, {"c", 2}, {"d", 8}})
    EXPECT_EQ(header.at(name).at("data_offsets").at(0).get<int>() % bytes, 0) << name;
}

TEST(SafetensorsWriter, StoresStridedAndTrackedTensors) {
  const Folder folder;
  const auto path = folder / "a.safetensors";
  const auto x = at::arange(6, at::kFloat).view({2, 3});
  write_safetensors(path, {{"t", x.t()}, {"row", x.select(0, 1)}, {"leaf", x.clone().requires_grad_(true)}});
  const auto file = read_safetensors(path).tensors;
  EXPECT_TRUE(at::equal(file.at("t"), x.t()));
  EXPECT_TRUE(at::equal(file.at("row"), at::tensor({3.0f, 4.0f, 5.0f})));
  EXPECT_TRUE(at::equal(file.at("leaf"), x));
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  const Folder folder;
  const auto said = [&](const TensorMap& tensors, const Metadata& metadata = {}) {
    return complaint([&] { write_safetensors(folder / "a", tensors, metadata); });
  };
  EXPECT_NE(said({{"x", at::Tensor()}}).find("it has no value"), std::string::npos);
  EXPECT_NE(said({{"x", at::zeros({1}, at::kComplexFloat)}}).find("no dtype for ComplexFloat"),
            std::string::npos);
  EXPECT_NE(said({{"x", at::eye(2).to_sparse()}}).find("not dense"), std::string::npos);
  EXPECT_NE(said({{"__metadata__", at::ones({1})}}).find("keeps that name"), std::string::npos);
  EXPECT_NE(said({{"\xff", at::ones({1})}}).find("not valid UTF-8"), std::string::npos);
  EXPECT_NE(said({}, {{"k", "\xff"}}).find("not valid UTF-8"), std::string::npos);
  EXPECT_NE(complaint([&] { write_safetensors(folder / "no/such/a", {}); }).find("cannot be written"),
            std::string::npos);
  EXPECT_EQ(files_in(folder), 0u);
}

}  // namespace
}  // namespace thalweg
