#include "engine/io/fingerprint.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>

#include "engine/core/file.h"
#include "engine/core/sha256.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kPart = uint64_t{16} << 10;

constexpr std::string_view kIndex = "model_index.json";

// Weights, configs, tables of tokenizers; no notes, no README.
bool decides(const fs::path& path) {
  constexpr std::array<std::string_view, 3> kEndings = {".json", ".safetensors", ".model"};
  constexpr std::array<std::string_view, 2> kTables = {"merges.txt", "vocab.txt"};
  return std::find(kEndings.begin(), kEndings.end(), path.extension().string()) != kEndings.end() ||
         std::find(kTables.begin(), kTables.end(), path.filename().string()) != kTables.end();
}

void collect(const fs::path& folder, bool deeper, std::vector<fs::path>& files) {
  std::error_code ec, ignored;
  const bool is_pipeline = deeper && fs::is_regular_file(folder / kIndex, ignored);
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const auto name = it->path().filename().string();
    const bool is_read = is_pipeline ? name == kIndex : decides(it->path());
    if (is_read && it->is_regular_file(ignored)) files.push_back(it->path());
    if (deeper && !name.starts_with(".") && it->is_directory(ignored)) collect(it->path(), false, files);
  }
  if (ec) throw_io_error(folder, "cannot be listed", ec.value());
}

}  // namespace

std::string fingerprint(const fs::path& path) {
  std::error_code ec;
  const uint64_t size = fs::file_size(path, ec);
  if (ec) throw_io_error(path, "cannot be read", ec.value());
  std::ifstream in(path, std::ios::binary);
  if (!in) throw_io_error(path, "cannot be read", errno);
  Sha256 hash;
  hash.update(std::to_string(size) + "\n");
  std::string block(kMiB, '\0');
  for (uint64_t begin = 0; begin < size; begin += kMiB) {
    const bool whole = size <= kWholeFingerprint || begin == 0 || size - begin <= kMiB;
    const uint64_t length = std::min(whole ? kMiB : kPart, size - begin);
    if (!whole || begin + kMiB >= size) in.seekg(static_cast<std::streamoff>(begin));
    if (!in.read(block.data(), static_cast<std::streamsize>(length)))
      throw_io_error(path, "cannot be read", errno == 0 ? EIO : errno);
    hash.update(std::string_view(block).substr(0, length));
  }
  return hash.hex();
}

std::vector<fs::path> files_of_input(const fs::path& path) {
  std::error_code ec;
  std::vector<fs::path> files;
  if (fs::is_regular_file(path, ec)) files.push_back(path);
  if (fs::is_directory(path, ec)) collect(path, true, files);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace thalweg
