#include "pipelines/stages/prompt_set.h"

#include <ATen/ATen.h>
#include <malloc.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

#include "engine/core/ceil_div.h"
#include "engine/core/device.h"
#include "engine/core/jemalloc.h"
#include "engine/core/rng.h"
#include "engine/models/text_length.h"

namespace thalweg {
namespace {

/// Prompts of one encode(). Part of the numbers: a matrix product over more rows may round otherwise.
constexpr int64_t kChunk = 16;

// Freed blocks are kept for the next step (pipelines/cli/allocator.h); the text encoders' nobody will ask
// for.
void return_freed_memory() {
  if (mallctl) mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);  // 4096: all arenas
  ::malloc_trim(0);
}

}  // namespace

PromptEncoder::PromptEncoder(FlowModel& model, const PromptCacheSection& cache, Workers& workers,
                             const Observer& observer)
    : model_(model), workers_(workers), observer_(observer) {
  const std::filesystem::path folder =
      cache.folder.empty() ? default_prompt_cache_folder() : std::filesystem::path(cache.folder);
  if (cache.max_gb <= 0.0 || folder.empty()) return;
  source_ = model.text_source();
  if (!source_.files.empty())
    cache_.emplace(folder, static_cast<uint64_t>(cache.max_gb * 1e9), observer.message);
}

PromptEncoder::~PromptEncoder() {
  model_.release_text_encoders();
  return_freed_memory();
}

Conditioning PromptEncoder::fresh(const std::vector<std::string>& prompts) const {
  const auto total = static_cast<int64_t>(prompts.size());
  std::vector<TensorMap> chunks(static_cast<size_t>(ceil_div(total, kChunk)));
  std::mutex mutex;
  int64_t done = 0;
  workers_.for_each(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    if (observer_.stop_requested()) throw Stopped{};
    const auto begin = i * kChunk, end = std::min(begin + kChunk, total);
    const auto encoded = model_.encode({prompts.begin() + begin, prompts.begin() + end});
    chunks[static_cast<size_t>(i)] = moved(encoded.tensors, at::kCPU);
    const std::lock_guard lock(mutex);
    done += end - begin;
    if (total > kChunk) observer_.progress("prompts", done, total, {});
  });
  std::map<std::string, std::vector<at::Tensor>> parts;
  for (auto& chunk : chunks)
    for (auto& [name, tensor] : std::exchange(chunk, {})) parts[name].push_back(tensor);
  Conditioning all{prompts, {}};
  for (auto& [name, tensors] : parts) {
    all.tensors[name] = tensors.size() == 1 ? tensors[0].contiguous() : at::cat(tensors);
    tensors.clear();
  }
  return all;
}

Conditioning PromptEncoder::conditioning(const std::vector<std::string>& prompts) const {
  if (!cache_) return fresh(prompts);
  const auto key = cache_->key(source_, prompts);
  if (auto kept = cache_->read(key, source_, static_cast<int64_t>(prompts.size())))
    return {prompts, std::move(*kept)};
  auto encoded = fresh(prompts);
  cache_->write(key, encoded.tensors);
  return encoded;
}

void PromptEncoder::tell_cut(const std::vector<std::string>& prompts, const std::string& place) const {
  const auto* limited = dynamic_cast<const LimitedText*>(&model_);
  if (!limited) return;
  std::string first;
  int64_t others = -1;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto cuts = limited->cuts(prompts[i]);
    if (cuts.empty() || ++others > 0) continue;
    first = place + (prompts.size() == 1 ? "" : ", prompt " + std::to_string(i + 1)) + ": is cut:";
    for (const auto& cut : cuts)
      first += std::string(&cut == &cuts.front() ? " " : ", ") + cut.encoder + " reads " +
               std::to_string(cut.read) + " of its " + std::to_string(cut.tokens) + " tokens";
  }
  if (others < 0) return;
  observer_.message("warn: " + first + (others == 0 ? "" : "; so are " + std::to_string(others) + " more"));
}

PromptSet PromptEncoder::encode(PromptList list, const std::string& place) const {
  tell_cut(list.prompts, place);
  auto encoded = conditioning(list.prompts);
  encoded.metadata_json = list.metadata_json;
  return {std::move(list), std::move(encoded)};
}

std::vector<int64_t> draw_prompts(int64_t size, int64_t count, int64_t iteration, uint64_t seed) {
  std::vector<int64_t> drawn, order(static_cast<size_t>(size));
  int64_t shuffled_pass = -1;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t position = iteration * count + k, pass = position / size;
    if (pass != shuffled_pass) {
      std::vector<uint64_t> key;
      for (int64_t i = 0; i < size; ++i)
        key.push_back(
            random_bits(seed, Purpose::prompts, static_cast<uint64_t>(i), static_cast<uint64_t>(pass)));
      std::iota(order.begin(), order.end(), int64_t{0});
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return key[static_cast<size_t>(a)] < key[static_cast<size_t>(b)];
      });
      shuffled_pass = pass;
    }
    drawn.push_back(order[static_cast<size_t>(position % size)]);
  }
  return drawn;
}

}  // namespace thalweg
