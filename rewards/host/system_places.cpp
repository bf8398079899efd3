#include "rewards/host/system_places.h"

#include <link.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <system_error>

#include "rewards/hosted/sandbox.h"

namespace fs = std::filesystem;

namespace thalweg {
namespace {

// Of /etc only what has no secrets. Another process' memory, files and environment in /proc are closed to a
// process under Landlock, whatever it may read; a rule for /proc/self would be lost with its inode, and would
// not hold for what this process starts.
constexpr const char* kSystem[] = {"/usr",
                                   "/lib",
                                   "/lib32",
                                   "/lib64",
                                   "/libx32",
                                   "/bin",
                                   "/sbin",
                                   "/nix/store",
                                   "/gnu/store",
                                   "/proc",
                                   "/sys",
                                   "/etc/ld.so.cache",
                                   "/etc/ld.so.conf",
                                   "/etc/ld.so.conf.d",
                                   "/etc/ssl/certs",
                                   "/etc/ssl/openssl.cnf",
                                   "/etc/pki/tls/certs",
                                   "/etc/pki/ca-trust",
                                   "/etc/ca-certificates",
                                   "/etc/localtime",
                                   "/etc/timezone",
                                   "/etc/locale.alias",
                                   "/etc/passwd",
                                   "/etc/group",
                                   "/etc/nsswitch.conf",
                                   "/etc/os-release",
                                   "/etc/debian_version",
                                   "/etc/mime.types",
                                   "/etc/magic",
                                   "/etc/fonts",
                                   "/etc/OpenCL",
                                   "/etc/vulkan",
                                   "/var/cache/fontconfig"};
constexpr const char* kNetwork[] = {"/etc/resolv.conf", "/run/systemd/resolve", "/etc/hosts",
                                    "/etc/host.conf",   "/etc/gai.conf",        "/etc/services",
                                    "/etc/protocols"};
constexpr const char* kDevices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

void add_listed(std::vector<fs::path>& places, const char* variable) {
  const char* list = std::getenv(variable);
  std::istringstream folders(list == nullptr ? "" : list);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (!folder.empty() && !holds_home(folder)) places.push_back(folder);
}

void add_matching(std::vector<fs::path>& places, const fs::path& folder, const std::string& begin) {
  std::error_code failure;
  for (fs::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure))
    if (it->path().filename().string().starts_with(begin)) places.push_back(it->path());
}

int add_folder(dl_phdr_info* library, size_t, void* places) {
  const fs::path file = library->dlpi_name;
  if (file.has_parent_path() && !holds_home(file.parent_path()))
    static_cast<std::vector<fs::path>*>(places)->push_back(file.parent_path());
  return 0;
}

// $VARIABLE or, where it is not set, `otherwise`.
fs::path named_by(const char* variable, const fs::path& otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? fs::path(value) : otherwise;
}

void add_model_caches(std::vector<fs::path>& places) {
  const auto cache = named_by("XDG_CACHE_HOME", named_by("HOME", "/nonexistent") / ".cache");
  const auto hugging_face = named_by("HF_HOME", cache / "huggingface");
  for (const auto& place : {named_by("HF_HUB_CACHE", hugging_face / "hub"), hugging_face / "modules",
                            named_by("TORCH_HOME", cache / "torch"), cache / "clip"})
    if (!holds_home(place)) places.push_back(place);
}

}  // namespace

ReachedFiles system_places(bool network, bool gpu) {
  ReachedFiles files;
  files.read.assign(std::begin(kSystem), std::end(kSystem));
  files.devices.assign(std::begin(kDevices), std::end(kDevices));
  add_matching(files.read, "/etc", "python3");
  ::dl_iterate_phdr(&add_folder, &files.read);
  add_listed(files.read, "LD_LIBRARY_PATH");
  add_listed(files.read, "PYTHONPATH");
  add_model_caches(files.read);
  if (network) files.read.insert(files.read.end(), std::begin(kNetwork), std::end(kNetwork));
  if (gpu) {
    add_matching(files.devices, "/dev", "nvidia");
    add_matching(files.devices, "/dev/nvidia-caps", "nvidia");
  }
  return files;
}

}  // namespace thalweg
