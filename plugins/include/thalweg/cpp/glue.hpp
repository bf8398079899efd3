// From a C++ class to the C tables. Part of cpp/reward.hpp; nothing here is called by hand.
#pragma once

#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace thalweg::plugin::detail {

/// Runs `body` and turns what it throws into a status and a text. `host` may not be NULL.
template <class Body>
thalweg_status guarded(const thalweg_host* host, Body&& body) noexcept {
  auto fail = [host](thalweg_status status, const char* message) noexcept {
    host->set_error(host, status, message);
    return status;
  };
  try {
    body();
    return THALWEG_OK;
  } catch (const Failure& e) {
    return fail(e.status() == THALWEG_OK ? static_cast<thalweg_status>(THALWEG_INTERNAL) : e.status(),
                e.what());
  } catch (const std::invalid_argument& e) {
    return fail(THALWEG_INVALID_ARGUMENT, e.what());
  } catch (const std::bad_alloc&) {
    return fail(THALWEG_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return fail(THALWEG_INTERNAL, e.what());
  } catch (...) {
    return fail(THALWEG_INTERNAL, "something that is not a std::exception was thrown");
  }
}

/// One instance: the C table first, then what it works on.
template <class T>
struct Instance {
  thalweg_reward table{};
  const thalweg_host* host = nullptr;
  std::unique_ptr<T> reward;  // while active
  std::vector<std::string> dimensions;

  static Instance& of(const thalweg_reward* r) { return *static_cast<Instance*>(r->plugin_data); }

  static const thalweg_reward_descriptor* descriptor() {
    static const thalweg_reward_descriptor d = T::describe();
    return &d;
  }

  static thalweg_status init(const thalweg_reward*) noexcept { return THALWEG_OK; }
  static void destroy(const thalweg_reward* r) noexcept { delete &of(r); }

  static thalweg_status activate(const thalweg_reward* r, const thalweg_activation* a) noexcept {
    Instance& self = of(r);
    return guarded(self.host, [&] {
      if (a == nullptr || a->size < THALWEG_ACTIVATION_SIZE_0_1)
        throw std::invalid_argument("the host is older than this plugin");
      Activation activation{a->device,    a->max_batch, a->max_frames, a->max_height,
                            a->max_width, a->seed,      a->assets_dir};
      auto reward = std::make_unique<T>();
      reward->attach(self.host);
      reward->configure(a->config_json, activation);
      self.dimensions = static_cast<const T&>(*reward).dimensions();
      if (self.dimensions.empty()) throw std::logic_error("the reward names no dimension");
      self.reward = std::move(reward);
    });
  }

  static void deactivate(const thalweg_reward* r) noexcept { of(r).reward.reset(); }

  static uint32_t dimension_count(const thalweg_reward* r) noexcept {
    return static_cast<uint32_t>(of(r).dimensions.size());
  }
  static const char* dimension_name(const thalweg_reward* r, uint32_t k) noexcept {
    const Instance& self = of(r);
    return k < self.dimensions.size() ? self.dimensions[k].c_str() : "";
  }

  static thalweg_status score(const thalweg_reward* r, const thalweg_score_request* raw,
                              const thalweg_tensor* out) noexcept {
    Instance& self = of(r);
    return guarded(self.host, [&] {
      const Request request(raw);
      self.active().score(request, self.columns<float>(out, request, "values"));
    });
  }

  T& active() const {
    if (reward == nullptr) throw std::logic_error("the host called an instance that is not active");
    return *reward;
  }

  /// A [B,K] view, checked against the request and this instance.
  template <class Scalar>
  View<Scalar, 2> columns(const thalweg_tensor* t, const Request& request, const char* what) const {
    const auto view = view_of<Scalar, 2>(t, what);
    if (view.shape[0] != request.batch() || view.shape[1] != static_cast<int64_t>(dimensions.size()))
      throw std::invalid_argument(std::string(what) + " has not the shape [batch, dimensions]");
    return view;
  }

  static uint64_t gradient_inputs(const thalweg_reward* r) noexcept {
    return of(r).reward->gradient_inputs();
  }

  static thalweg_status vjp(const thalweg_reward* r, const thalweg_score_request* raw, uint64_t input,
                            const thalweg_tensor* cotangent, const thalweg_tensor* gradient) noexcept {
    Instance& self = of(r);
    return guarded(self.host, [&] {
      const Request request(raw);
      if (input == 0 || (input & (input - 1)) != 0 || (input & self.active().gradient_inputs()) == 0)
        throw Failure(THALWEG_UNSUPPORTED, "no gradient with respect to this input");
      self.reward->vjp(request, input, self.columns<const float>(cotangent, request, "cotangent"),
                       view_of<float, 5>(gradient, "gradient"));
    });
  }

  static uint32_t least_of_group(const thalweg_reward* r) noexcept { return of(r).reward->least_of_group(); }

  static const void* get_extension(const thalweg_reward*, const char* id) noexcept {
    if constexpr (std::is_base_of_v<ComparesGroups, T>) {
      static const thalweg_plugin_group table = {&least_of_group};
      if (std::strcmp(id, THALWEG_EXT_GROUP) == 0) return &table;
    }
    if constexpr (std::is_base_of_v<DifferentiableReward, T>) {
      static const thalweg_plugin_gradient table = {&gradient_inputs, &vjp};
      if (std::strcmp(id, THALWEG_EXT_GRADIENT) == 0) return &table;
    }
    (void)id;
    return nullptr;
  }

  static const thalweg_reward* make(const thalweg_host* host) noexcept {
    Instance* made = nullptr;
    guarded(host, [&] {
      auto self = std::make_unique<Instance>();
      self->host = host;
      self->table = {descriptor(), self.get(),       &init,           &destroy, &activate,
                     &deactivate,  &dimension_count, &dimension_name, &score,   &get_extension};
      made = self.release();
    });
    return made == nullptr ? nullptr : &made->table;
  }
};

/// The factory of a library that holds the rewards Ts.
template <class... Ts>
struct Library {
  static uint32_t count(const thalweg_reward_factory*) noexcept { return sizeof...(Ts); }

  static const thalweg_reward_descriptor* descriptor(const thalweg_reward_factory*, uint32_t index) noexcept {
    const thalweg_reward_descriptor* all[] = {Instance<Ts>::descriptor()...};
    return index < sizeof...(Ts) ? all[index] : nullptr;
  }

  static const thalweg_reward* create(const thalweg_reward_factory*, const thalweg_host* host,
                                      const char* id) noexcept {
    const thalweg_reward* made = nullptr;
    const bool known =
        ((std::strcmp(Instance<Ts>::descriptor()->id, id) == 0 ? (made = Instance<Ts>::make(host), true)
                                                               : false) ||
         ...);
    if (!known) host->set_error(host, THALWEG_INVALID_ARGUMENT, "the library holds no reward of this id");
    return made;
  }

  static thalweg_status init(const char*) noexcept { return THALWEG_OK; }
  static void deinit() noexcept {}

  static const void* get_factory(const char* id) noexcept {
    static const thalweg_reward_factory factory = {&count, &descriptor, &create};
    return std::strcmp(id, THALWEG_REWARD_FACTORY_ID) == 0 ? &factory : nullptr;
  }
};

}  // namespace thalweg::plugin::detail

/// Makes the library's entry out of one or more classes. Once, at the end of one source file.
#define THALWEG_REWARD_PLUGIN(...)                                                      \
  extern "C" {                                                                          \
  const thalweg_plugin_entry thalweg_entry = {                                          \
      THALWEG_ABI_VERSION_INIT, &::thalweg::plugin::detail::Library<__VA_ARGS__>::init, \
      &::thalweg::plugin::detail::Library<__VA_ARGS__>::deinit,                         \
      &::thalweg::plugin::detail::Library<__VA_ARGS__>::get_factory};                   \
  }                                                                                     \
  static_assert(true, "a semicolon may follow")
