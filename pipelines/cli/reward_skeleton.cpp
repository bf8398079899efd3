#include "pipelines/cli/reward_skeleton.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "pipelines/cli/output.h"

namespace fs = std::filesystem;

namespace thalweg::cli {
namespace {

constexpr const char* kExample = "brightness";  // what the files of the templates are called
constexpr size_t kMostName = 64;

using Words = std::vector<std::pair<std::string, std::string>>;

// A library, a module and a dimension are called so.
void check_name(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= kMostName &&
                    std::islower(static_cast<unsigned char>(name[0])) &&
                    std::all_of(name.begin(), name.end(), [](unsigned char c) {
                      return c < 0x80 && (std::islower(c) || std::isdigit(c) || c == '_');
                    });
  if (!fits)
    throw Error(name.empty() ? "NAME" : name,
                "is no name of a reward: it begins with a small letter, and has small "
                "letters, digits and '_', at most 64");
  std::error_code failure;
  if (fs::exists(fs::symlink_status(name, failure)))
    throw Error(name, "is there already; choose another name, or another folder to work in");
}

// Of the installation, or the build tree, that this program is in: share/thalweg/template and include below
// it.
fs::path prefix_of(const fs::path& program) {
  std::error_code failure;
  for (const auto& prefix : {program.parent_path(), program.parent_path().parent_path()})
    if (fs::is_directory(prefix / "share/thalweg/template", failure)) return prefix;
  throw Error("share/thalweg/template", "is not beside this program: install it whole");
}

std::string replaced(std::string text, const Words& words) {
  for (const auto& [from, to] : words)
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
  return text;
}

// As it stands inside of a JSON text.
std::string escaped(const std::string& text) {
  const auto quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

void copy_files(const fs::path& from, const fs::path& to, const Words& words) {
  Words in_json;
  for (const auto& [word, with] : words) in_json.emplace_back(word, escaped(with));
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    if (!entry.is_regular_file()) continue;
    const auto target = to / replaced(entry.path().filename().string(), words);
    auto bytes = read_file(entry.path());
    const auto ending = entry.path().extension();
    if (ending != ".png") bytes = replaced(std::move(bytes), ending == ".json" ? in_json : words);
    write_file(target, bytes);
  }
}

}  // namespace

void write_skeleton(const RewardSkeleton& skeleton) {
  check_name(skeleton.name);
  const auto program = fs::read_symlink("/proc/self/exe");
  const auto prefix = prefix_of(program);
  const auto templates = prefix / "share/thalweg/template";
  const auto folder = fs::absolute(skeleton.name);
  const Words words = {{kExample, skeleton.name},
                       {"@THALWEG@", program.string()},
                       {"@INCLUDE@", fs::weakly_canonical(prefix / "include").string()},
                       {"@HERE@", folder.string()}};
  std::vector<std::string> parts = {"python"};
  if (!skeleton.python) parts = {"library", skeleton.c ? "c" : "cpp"};
  try {
    for (const auto& part : parts) copy_files(templates / part, folder, words);
    copy_files(templates / "pictures", folder / "pictures", words);
  } catch (const fs::filesystem_error& e) {
    throw_io_error(folder, "cannot be written", e.code().value());
  }
  const auto& name = skeleton.name;
  print(name + ": a reward that works, to be changed; " + name + "/README.md says how\n" +
        (skeleton.python ? "" : "  make -C " + name + " test\n") + "  thalweg reward try " + name +
        "/reward.json " + name + "/pictures\n");
}

}  // namespace thalweg::cli
