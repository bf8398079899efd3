#include "pipelines/service/jobs/plugin_shelf.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "pipelines/service/http/message.h"
#include "pipelines/service/jobs/beneath.h"
#include "pipelines/service/jobs/child.h"
#include "pipelines/service/store/scratch.h"

namespace thalweg::service {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kMostBytes = uint64_t{512} << 20;
constexpr size_t kMostSaid = 3, kLongestName = 64;

void require_name(const std::string& name) {
  const auto fits = [](unsigned char c) { return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_'; };
  if (name.empty() || name.size() > kLongestName || !std::all_of(name.begin(), name.end(), fits))
    throw ApiError(400, "invalid_value", "must be of lower-case letters, digits and _", "/name");
}

void copy_bytes(const Descriptor& from, const fs::path& to) {
  AppendFile file(to, AppendFile::Mode::create_new);
  std::string piece(size_t{1} << 20, '\0');
  for (uint64_t total = 0;;) {
    const auto got = ::read(from.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_io_error(to, "cannot be copied", errno);
    if (got == 0) break;
    total += static_cast<uint64_t>(got);
    if (total > kMostBytes) throw ApiError(400, "too_large", "a library may have at most 512 MiB", "/file");
    file.write({piece.data(), static_cast<size_t>(got)});
  }
  file.sync();
}

/// The first clauses that are broken, in the validator's words.
std::string broken_clauses(const Json& verdict) {
  std::string text;
  size_t said = 0;
  for (const auto& clause : verdict.value("clauses", Json::array())) {
    if (clause.value("outcome", "") != "failed" || said++ >= kMostSaid) continue;
    const auto detail = clause.value("detail", "");
    text +=
        (text.empty() ? "" : "; ") + clause.value("rule", "") + (detail.empty() ? "" : " (" + detail + ")");
  }
  return text + (said > kMostSaid ? "; and " + std::to_string(said - kMostSaid) + " more" : "");
}

}  // namespace

PluginShelf::PluginShelf(asio::io_context& context, Store& store, fs::path program, fs::path root)
    : context_(context), store_(store), program_(std::move(program)), root_(std::move(root)) {}

std::vector<fs::path> PluginShelf::folders() const {
  std::vector<fs::path> all;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(store_.plugins(), none)) all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  return all;
}

asio::awaitable<void> PluginShelf::require_contract(fs::path library, Json config) {
  const ChildCommand command{
      .words = {program_, "plugins", "--validate", library, "--json", "--config", config.dump()},
      .folder = root_};
  Child child(context_, command);
  std::string said;
  for (auto line = co_await child.line(); line; line = co_await child.line()) said += *line + "\n";
  co_await child.end();
  Json verdict;
  try {
    verdict = parse_json(said, "the validator");
  } catch (const Error&) {  // it said why on its standard error
  }
  if (verdict.is_object() && verdict.value("passed", false)) co_return;
  const auto clauses = verdict.is_object() ? broken_clauses(verdict) : "";
  throw ApiError(
      400, "plugin_refused",
      clauses.empty() ? "the validator cannot try it: `thalweg plugins --validate FILE` says why" : clauses,
      "/file");
}

asio::awaitable<void> PluginShelf::load(std::string name, std::string source, Json config) {
  require_name(name);
  if (!config.is_object()) throw ApiError(400, "invalid_value", "must be an object", "/config");
  const Scratch scratch(store_.uploads() / new_id("plugin-"));
  const auto folder = scratch.path() / name;
  const auto row = find_file(store_.read(), source);
  const auto opened =
      row ? open_beneath(store_.folder(), "files/" + row->sha256) : open_beneath(root_, source);
  if (!opened) throw ApiError(400, "no_such_file", "neither a file's id nor a file below the root", "/file");
  fs::create_directories(folder);
  const auto library = folder / (name + ".so");
  copy_bytes(*opened, library);
  co_await require_contract(library, std::move(config));
  sync_path(folder);
  std::error_code code;
  fs::rename(folder, store_.plugins() / name, code);
  if (code == std::errc::directory_not_empty || code == std::errc::file_exists)
    throw ApiError(409, "name_taken", "a reward of this name is loaded: unload it first", "/name");
  if (code) throw_io_error(store_.plugins() / name, "cannot be made", code.value());
  sync_path(store_.plugins());
}

void PluginShelf::unload(const std::string& name) {
  if (!store_.loaded_plugin(name))
    throw ApiError(404, "no_such_plugin", "no reward of this name was loaded", "name");
  const auto folder = store_.plugins() / name;
  const Scratch leaves(store_.uploads() / new_id("plugin-"));
  std::error_code code;
  fs::rename(folder, leaves.path(), code);
  if (code) throw_io_error(folder, "cannot be removed", code.value());
  sync_path(store_.plugins());
}

}  // namespace thalweg::service
