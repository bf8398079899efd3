#include "rewards/library.h"

#ifndef BOOST_DLL_USE_STD_FS
#define BOOST_DLL_USE_STD_FS
#endif
#include <bit>
#include <boost/dll/shared_library.hpp>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "rewards/elf.h"
#include "rewards/guard.h"
#include "rewards/text.h"

namespace thalweg {

struct PluginLibrary::Mapping {
  boost::dll::shared_library library;
};

namespace {

/// More is a damaged table, not a plugin.
constexpr uint32_t kMaxRewards = 1024;
constexpr uint32_t kMaxDimensions = 65536;
constexpr uint64_t kKnownInputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_LATENTS | THALWEG_INPUT_PROMPTS |
                                  THALWEG_INPUT_REFERENCE | THALWEG_INPUT_MASK | THALWEG_INPUT_METADATA;

/// All open libraries. Never freed: an instance that is destroyed late still refers to its library.
struct OpenLibraries {
  std::mutex mutex;
  std::map<std::filesystem::path, std::unique_ptr<PluginLibrary>> by_path;
  std::vector<PluginLibrary*> in_order;
};

OpenLibraries& open_libraries() {
  static auto* all = new OpenLibraries;
  return *all;
}

/// Registered once a library, after it is open: so it runs before the library's own static destructors,
/// and the last opened goes first.
void deinit_last_opened() {
  auto& all = open_libraries();
  if (all.in_order.empty()) return;
  PluginLibrary* last = all.in_order.back();
  all.in_order.pop_back();
  if (last->instances() == 0) last->deinit();
}

/// Why the descriptor cannot be used, or "".
std::string defect(const thalweg_reward_descriptor* d) {
  if (d == nullptr) return "lists a reward without a descriptor";
  for (const char* text : {d->id, d->name, d->vendor, d->version, d->description, d->paper_url})
    if (text == nullptr || !is_clean_text(text)) return "has a descriptor whose texts are not clean UTF-8";
  if (*d->id == '\0') return "lists a reward without an id";
  const std::string id = d->id;
  if (d->abi.major != THALWEG_ABI_MAJOR) return "lists \"" + id + "\" with another ABI version";
  if (const uint64_t unknown = d->required_inputs & ~kKnownInputs; unknown != 0)
    return "lists \"" + id + "\", which requires an input that this program does not know (bit " +
           std::to_string(std::countr_zero(unknown)) +
           " of required_inputs): it was built for a later version of the plugin ABI";
  if ((d->devices & (THALWEG_ON_CPU | THALWEG_ON_CUDA)) == 0) return "lists \"" + id + "\" without a device";
  if (d->num_dimensions > kMaxDimensions || (d->num_dimensions > 0 && d->dimension_names == nullptr))
    return "lists \"" + id + "\" with damaged dimensions";
  for (uint32_t k = 0; k < d->num_dimensions; ++k)
    if (d->dimension_names[k] == nullptr || !is_clean_text(d->dimension_names[k]))
      return "lists \"" + id + "\" with damaged dimensions";
  return "";
}

}  // namespace

PluginLibrary& PluginLibrary::open(const std::filesystem::path& path) {
  std::error_code failure;
  const auto canonical = std::filesystem::canonical(path, failure);
  if (failure) throw Error(path.string(), "there is no such plugin file");
  auto& all = open_libraries();
  const std::lock_guard lock(all.mutex);
  if (const auto found = all.by_path.find(canonical); found != all.by_path.end()) return *found->second;
  std::unique_ptr<PluginLibrary> library(new PluginLibrary(canonical));
  library->start();
  PluginLibrary& opened = *library;
  all.in_order.push_back(&opened);
  all.by_path.emplace(canonical, std::move(library));
  std::atexit(deinit_last_opened);
  return opened;
}

template <class Call>
auto PluginLibrary::called(const char* function, Call&& call) const {
  return guarded(path_.string(), path_.stem().string(), function, std::forward<Call>(call));
}

PluginLibrary::PluginLibrary(const std::filesystem::path& path) : path_(path) {
  const std::string place = path.string();
  if (const auto reason = why_not_a_library(path); !reason.empty())
    throw Error(place, reason + ", so it is no reward plugin");

  namespace dll = boost::dll;
  auto mapping = std::make_unique<Mapping>();
  std::string failure;  // the loader's own; what the library's constructors throw is another
  const auto end = call_library(path.stem().string(), "loading", [&] {
    try {
      mapping->library.load(path, dll::load_mode::rtld_now | dll::load_mode::rtld_local);
    } catch (const dll::fs::system_error& e) {
      failure = e.what();
    }
  });
  if (!failure.empty()) throw Error(place, "cannot be loaded: " + clean_text(failure.c_str()));
  if (!end.wrong.empty()) throw Error(place, "cannot be loaded: it " + end.wrong);
  mapping_ = std::move(mapping);
}

void PluginLibrary::start() {
  const std::string place = path_.string();
  if (!mapping_->library.has(THALWEG_ENTRY_SYMBOL))
    throw Error(place, "exports no symbol " THALWEG_ENTRY_SYMBOL ", so it is no reward plugin");
  entry_ = &mapping_->library.get<const thalweg_plugin_entry>(THALWEG_ENTRY_SYMBOL);
  check_entry();

  const auto status = called("init", [&] { return entry_->init(place.c_str()); });
  if (status != THALWEG_OK) throw Error(place, "refused to start (status " + std::to_string(status) + ")");
  initialised_ = true;
  factory_ = static_cast<const thalweg_reward_factory*>(
      called("get_factory", [&] { return entry_->get_factory(THALWEG_REWARD_FACTORY_ID); }));
  if (factory_ == nullptr)
    throw Error(place, "holds no " THALWEG_REWARD_FACTORY_ID "; build it again with this version's headers");
  read_descriptors();
}

void PluginLibrary::check_entry() const {
  const auto& abi = entry_->abi;
  if (abi.major != THALWEG_ABI_MAJOR)
    throw Error(path_.string(), "was built for version " + std::to_string(abi.major) + "." +
                                    std::to_string(abi.minor) + " of the plugin ABI, this program has " +
                                    std::to_string(THALWEG_ABI_MAJOR) + "." +
                                    std::to_string(THALWEG_ABI_MINOR) + "; build it again");
  if (entry_->init == nullptr || entry_->deinit == nullptr || entry_->get_factory == nullptr)
    throw Error(path_.string(), "has an entry with missing functions");
}

void PluginLibrary::read_descriptors() {
  const std::string place = path_.string();
  if (factory_->count == nullptr || factory_->descriptor == nullptr || factory_->create == nullptr)
    throw Error(place, "has a factory with missing functions");
  const uint32_t count = called("count", [&] { return factory_->count(factory_); });
  if (count == 0 || count > kMaxRewards)
    throw Error(place, "says that it holds " + std::to_string(count) + " rewards");
  std::set<std::string> ids;
  for (uint32_t i = 0; i < count; ++i) {
    const auto* descriptor = called("descriptor", [&] { return factory_->descriptor(factory_, i); });
    if (const auto reason = defect(descriptor); !reason.empty()) throw Error(place, reason);
    if (!ids.insert(descriptor->id).second)
      throw Error(place, "lists two rewards with the id \"" + std::string(descriptor->id) + "\"");
    descriptors_.push_back(descriptor);
  }
}

const thalweg_reward_descriptor& PluginLibrary::descriptor(const std::string& id,
                                                           const std::string& place) const {
  if (id.empty()) return *descriptors_.front();
  std::vector<std::string> ids;
  for (const auto* descriptor : descriptors_) {
    if (id == descriptor->id) return *descriptor;
    ids.push_back(descriptor->id);
  }
  throw Error(place, "the plugin holds no reward \"" + id + "\"" + suggestion(id, ids));
}

void PluginLibrary::deinit() noexcept {
  // The program ends: there is nobody left to tell.
  if (initialised_) call_library(path_.stem().string(), "deinit", [&] { entry_->deinit(); });
  initialised_ = false;
}

PluginLibrary::~PluginLibrary() {
  deinit();
  // Never unmapped, whatever came: code of the library may already be registered with the process.
  (void)mapping_.release();
}

}  // namespace thalweg
