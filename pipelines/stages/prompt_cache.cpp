#include "pipelines/stages/prompt_cache.h"

#include <ATen/ATen.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/machine.h"
#include "engine/core/sha256.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "thalweg prompts 2";
constexpr const char* kPartial = ".partial";
constexpr auto kPartialLife = std::chrono::hours(24);  // older ones were left by a process that died

// Each part with its length: no two lists of parts are the same bytes.
void add_part(Sha256& hash, std::string_view part) {
  hash.update(std::to_string(part.size()) + ":");
  hash.update(part);
}

std::string digest_of_tensors(const TensorMap& tensors) {
  Sha256 hash;
  for (const auto& [name, tensor] : tensors) {
    add_part(hash, name);
    add_part(hash, at::toString(tensor.scalar_type()));
    for (const auto size : tensor.sizes()) add_part(hash, std::to_string(size));
    const auto dense = tensor.to(at::kCPU).contiguous();
    add_part(hash, {static_cast<const char*>(dense.const_data_ptr()), dense.nbytes()});
  }
  return hash.hex();
}

/// What changes when a file is written again; "" when it cannot be told, or is too recent to tell.
std::string stamp_of(const fs::path& file) {
  struct stat status = {};
  if (::stat(file.c_str(), &status) != 0) return "";
  // Written within the clock's tick of a first write, a file may show the same times.
  if (std::time(nullptr) - status.st_mtim.tv_sec < 3 || std::time(nullptr) - status.st_ctim.tv_sec < 3)
    return "";
  const auto text = [](auto value) { return std::to_string(value) + " "; };
  return text(status.st_dev) + text(status.st_ino) + text(status.st_size) + text(status.st_mtim.tv_sec) +
         text(status.st_mtim.tv_nsec) + text(status.st_ctim.tv_sec) + text(status.st_ctim.tv_nsec);
}

// Without a copy: an entry may hold gigabytes.
bool is_finite(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return true;
  const auto [low, high] = at::aminmax(tensor);
  return std::isfinite(low.item<double>()) && std::isfinite(high.item<double>());
}

/// Empty, or what is wrong with the tensors.
std::string fault_of(const TensorMap& tensors, const TextSource& source, int64_t rows) {
  if (tensors.size() != source.shapes.size()) return "holds other tensors";
  for (const auto& [name, tail] : source.shapes) {
    const auto it = tensors.find(name);
    if (it == tensors.end()) return "lacks " + name;
    std::vector<int64_t> shape = {rows};
    shape.insert(shape.end(), tail.begin(), tail.end());
    if (it->second.sizes() != at::IntArrayRef(shape) || it->second.scalar_type() != source.dtype)
      return name + " has another shape or dtype";
    if (!is_finite(it->second)) return name + " is not finite";
  }
  return "";
}

/// The digest that `memo` holds for a file of this stamp.
std::optional<std::string> remembered_digest(const fs::path& memo, const std::string& stamp) {
  constexpr size_t kDigits = 64;
  std::error_code ec;
  if (!fs::exists(memo, ec)) return std::nullopt;
  try {
    const auto text = read_file(memo, 4096);
    const auto begin = stamp.size() + 1;
    if (!text.starts_with(stamp + "\n") || text.size() != begin + kDigits ||
        text.find_first_not_of("0123456789abcdef", begin) != std::string::npos)
      return std::nullopt;
    return text.substr(begin);
  } catch (const Error&) {  // gone in between
    return std::nullopt;
  }
}

/// A name that no other writer has.
fs::path partial_name(const fs::path& path) {
  static std::atomic<int64_t> count{0};
  return path.string() + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + kPartial;
}

}  // namespace

fs::path default_prompt_cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (const auto base = variable("XDG_CACHE_HOME"); base.is_absolute()) return base / "thalweg" / "prompts";
  if (const auto home = variable("HOME"); home.is_absolute()) return home / ".cache" / "thalweg" / "prompts";
  return {};
}

PromptCache::PromptCache(fs::path folder, uint64_t max_bytes, std::function<void(const std::string&)> note)
    : folder_(std::move(folder)), max_bytes_(max_bytes), note_(std::move(note)) {
  std::error_code ec;
  fs::create_directories(folder_ / "digests", ec);
  if (ec) note_("encoded prompts cannot be kept in " + folder_.string() + ": " + ec.message());
}

std::string PromptCache::digest_of(const fs::path& file) const {
  std::error_code ec;
  const auto absolute = fs::canonical(file, ec);
  const auto stamp = stamp_of(file);
  if (ec || stamp.empty()) return sha256_file(file);
  const auto memo = folder_ / "digests" / sha256_hex(absolute.string());
  if (auto known = remembered_digest(memo, stamp)) return *known;
  auto digest = sha256_file(file);
  if (stamp != stamp_of(file)) return digest;
  const auto partial = partial_name(memo);
  try {
    write_file(partial, stamp + "\n" + digest);
    fs::rename(partial, memo, ec);
  } catch (const Error&) {  // the next run reads the file again
  }
  return digest;
}

std::string PromptCache::key(const TextSource& source, const std::vector<std::string>& prompts) const {
  Sha256 hash;
  add_part(hash, kFormat);
  add_part(hash, machine_identity().dump());  // last bits
  add_part(hash, source.settings);
  add_part(hash, at::toString(source.dtype));
  for (const auto& [name, shape] : source.shapes) {
    add_part(hash, name);
    for (const auto size : shape) add_part(hash, std::to_string(size));
  }
  for (const auto& [name, file] : source.files) {
    add_part(hash, name);
    add_part(hash, digest_of(file));
  }
  for (const auto& prompt : prompts) add_part(hash, prompt);
  return hash.hex();
}

std::optional<TensorMap> PromptCache::read(const std::string& key, const TextSource& source,
                                           int64_t rows) const {
  const auto path = entry(key);
  std::error_code ec;
  if (!fs::exists(path, ec)) return std::nullopt;
  std::string fault;
  try {
    auto file = read_safetensors(path);
    fault = fault_of(file.tensors, source, rows);
    if (fault.empty() && file.metadata["key"] != key) fault = "it is the entry of other prompts";
    if (fault.empty() && file.metadata["sha256"] != digest_of_tensors(file.tensors))
      fault = "its bytes are not those that were written";
    if (fault.empty()) {
      fs::last_write_time(path, fs::file_time_type::clock::now(), ec);  // used last; see prune()
      return std::move(file.tensors);
    }
  } catch (const Error& e) {
    fault = e.message();
  }
  note_("kept prompts are damaged and are encoded again: " + path.string() + ": " + fault);
  fs::remove(path, ec);
  return std::nullopt;
}

void PromptCache::write(const std::string& key, const TensorMap& tensors) const {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    bytes += tensor.nbytes();
    if (!is_finite(tensor)) return;
  }
  if (bytes > max_bytes_) {
    note_("encoded prompts are not kept: " + std::to_string(bytes >> 20) +
          " MiB are more than the prompt cache may hold");
    return;
  }
  const auto path = entry(key), partial = partial_name(path);
  std::error_code ec;
  try {
    write_safetensors(partial, tensors,
                      {{"format", kFormat}, {"key", key}, {"sha256", digest_of_tensors(tensors)}});
    fs::rename(partial, path, ec);
    if (ec) throw Error(path.string(), ec.message());
    prune(path);
  } catch (const Error& e) {
    fs::remove(partial, ec);
    note_(std::string("encoded prompts cannot be kept: ") + e.what());
  }
}

void PromptCache::prune(const fs::path& newest) const {
  struct Entry {
    fs::path path;
    fs::file_time_type used;
    uint64_t bytes;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  std::error_code ec;
  const auto now = fs::file_time_type::clock::now();
  for (const auto& file : fs::directory_iterator(folder_, ec)) {
    const auto used = file.last_write_time(ec);
    if (ec || !file.is_regular_file(ec)) continue;  // another process removed it
    const auto bytes = file.file_size(ec);
    if (ec) continue;
    if (file.path().extension() == ".safetensors") {
      entries.push_back({file.path(), used, bytes});
      total += bytes;
    } else if (file.path().string().find(kPartial) != std::string::npos && now - used > kPartialLife) {
      fs::remove(file.path(), ec);
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const auto& old : entries) {
    if (total <= max_bytes_) break;
    if (old.path == newest) continue;
    fs::remove(old.path, ec);
    total -= old.bytes;
  }
}

}  // namespace thalweg
