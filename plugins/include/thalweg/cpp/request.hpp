// Typed and checked views of what the host hands over. Part of cpp/reward.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "../request.h"
#include "../reward.h"

namespace thalweg::plugin {

/// A dense, row-major array of N dimensions that somebody else owns.
template <class T, std::size_t N>
struct View {
  T* data = nullptr;
  std::array<std::int64_t, N> shape{};

  std::int64_t size() const {
    std::int64_t n = 1;
    for (std::int64_t s : shape) n *= s;
    return n;
  }

  /// The element at (i, j, ...); fewer than N indices give the first element of that part. Not checked.
  template <class... Index>
  T& operator()(Index... index) const {
    static_assert(sizeof...(Index) >= 1 && sizeof...(Index) <= N, "too many indices");
    const std::int64_t at[] = {static_cast<std::int64_t>(index)...};
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < N; ++d) offset = offset * shape[d] + (d < sizeof...(Index) ? at[d] : 0);
    return data[offset];
  }
};

/// Checks that `tensor` is a dense float32 array of N dimensions on the CPU; `what` names it in the error.
/// For tensors on other devices read the thalweg_tensor itself.
template <class T, std::size_t N>
View<T, N> view_of(const thalweg_tensor* tensor, const char* what) {
  static_assert(std::is_same_v<std::remove_const_t<T>, float>, "the interface carries float32");
  const std::string name(what);
  if (tensor == nullptr) throw std::invalid_argument("the request carries no " + name);
  if (tensor->ndim != static_cast<std::int32_t>(N))
    throw std::invalid_argument(name + " has " + std::to_string(tensor->ndim) + " dimensions, not " +
                                std::to_string(N));
  if (tensor->dtype.code != THALWEG_DTYPE_FLOAT || tensor->dtype.bits != 32 || tensor->dtype.lanes != 1)
    throw std::invalid_argument(name + " is not float32");
  if (tensor->device.type != THALWEG_DEVICE_TYPE_CPU)
    throw std::invalid_argument(name + " is not on the CPU");
  View<T, N> view;
  view.data = reinterpret_cast<T*>(static_cast<char*>(tensor->data) + tensor->byte_offset);
  std::int64_t expected = 1;
  for (std::size_t d = N; d-- > 0;) {
    view.shape[d] = tensor->shape[d];
    if (tensor->strides != nullptr && tensor->shape[d] > 1 && tensor->strides[d] != expected)
      throw std::invalid_argument(name + " is not dense");
    expected *= tensor->shape[d];
  }
  return view;
}

/// What `configure` is told besides its JSON. 0: not known.
struct Activation {
  thalweg_device device{THALWEG_DEVICE_TYPE_CPU, 0};
  std::uint32_t max_batch = 0, max_frames = 0, max_height = 0, max_width = 0;
  std::uint64_t seed = 0;
  std::string assets_dir;
};

/// One call's samples. Every reference is good until the call returns.
class Request {
 public:
  explicit Request(const thalweg_score_request* raw) : raw_(raw) {
    // Not the size of the newest struct: a host of 0.1 has all that most rewards need.
    if (raw == nullptr || raw->size < THALWEG_SCORE_REQUEST_SIZE_0_1)
      throw std::invalid_argument("the request is older than this plugin");
  }

  const thalweg_score_request* raw() const { return raw_; }
  std::int64_t batch() const { return raw_->batch; }

  View<const float, 5> frames_BF3HW() const { return view_of<const float, 5>(raw_->frames, "frames"); }
  View<const float, 5> latents_BCFHW() const { return view_of<const float, 5>(raw_->latents, "latents"); }
  View<const float, 1> sigmas_B() const { return view_of<const float, 1>(raw_->sigmas, "sigmas"); }
  View<const float, 5> reference_BF3HW() const {
    return view_of<const float, 5>(raw_->reference, "reference");
  }
  View<const float, 5> mask_BF1HW() const { return view_of<const float, 5>(raw_->mask, "mask"); }
  bool has_reference() const { return raw_->reference != nullptr; }
  bool has_mask() const { return raw_->mask != nullptr; }

  std::string_view prompt(std::int64_t b) const { return raw_->prompts[b]; }
  std::string_view metadata_json(std::int64_t b) const { return raw_->metadata_json[b]; }
  std::uint64_t sample_id(std::int64_t b) const { return raw_->sample_ids[b]; }
  std::uint64_t seed(std::int64_t b) const { return raw_->seeds[b]; }
  std::int64_t group_id(std::int64_t b) const { return raw_->group_ids[b]; }
  int step_index() const { return raw_->step_index; }
  int num_steps() const { return raw_->num_steps; }
  double fps() const { return raw_->fps; }
  /// THALWEG_PHASE_*; 0 from a host that does not say.
  std::uint32_t phase() const {
    return covers(offsetof(thalweg_score_request, phase) + sizeof raw_->phase) ? raw_->phase : 0;
  }
  std::int64_t iteration() const {
    return covers(offsetof(thalweg_score_request, iteration) + sizeof raw_->iteration) ? raw_->iteration : 0;
  }

 private:
  bool covers(std::size_t end_of_field) const { return end_of_field <= raw_->size; }

  const thalweg_score_request* raw_;
};

}  // namespace thalweg::plugin
