#include "pipelines/service/api/run_files.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/natural_order.h"
#include "engine/core/path.h"

namespace thalweg::service {

namespace fs = std::filesystem;

namespace {

constexpr std::array kTypes{
    std::pair{".png", "image/png"},
    std::pair{".jpg", "image/jpeg"},
    std::pair{".mp4", "video/mp4"},
    std::pair{".json", "application/json"},
    std::pair{".jsonl", "text/plain; charset=utf-8"},
    std::pair{".txt", "text/plain; charset=utf-8"},
    std::pair{".html", "text/html; charset=utf-8"},
};

constexpr std::string_view kCheckpoint = "checkpoint-";

}  // namespace

std::string content_type(const std::string& path) {
  const auto ending = lower_ending(path);
  for (const auto& [known, type] : kTypes)
    if (ending == known) return type;
  return "application/octet-stream";
}

std::vector<RunFile> run_files(const fs::path& folder, size_t most) {
  std::vector<RunFile> files;
  std::error_code code;
  fs::recursive_directory_iterator entries(folder, code);
  for (; !code && entries != fs::recursive_directory_iterator(); entries.increment(code)) {
    const auto& entry = *entries;
    if (entry.is_symlink(code) || !entry.is_regular_file(code) || lower_ending(entry.path()) == ".tmp")
      continue;
    auto path = entry.path().lexically_relative(folder).string();
    auto type = content_type(path);
    files.push_back({std::move(path), entry.file_size(code), std::move(type)});
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return natural_less(a.path, b.path); });
  if (files.size() > most) files.resize(most);
  return files;
}

std::vector<RunCheckpoint> run_checkpoints(const fs::path& folder) {
  std::vector<RunCheckpoint> found;
  std::error_code code;
  for (fs::directory_iterator entries(folder, code); !code && entries != fs::directory_iterator();
       entries.increment(code)) {
    const auto name = entries->path().filename().string();
    if (!name.starts_with(kCheckpoint)) continue;
    try {
      const auto manifest = parse_json_file(entries->path() / "manifest.json");
      RunCheckpoint checkpoint{manifest.at("step").get<int64_t>()};
      for (const auto& file : manifest.at("files"))
        checkpoint.files.push_back({{"path", name + "/" + file.at("name").get<std::string>()},
                                    {"bytes", file.value("size", Json())},
                                    {"sha256", file.value("sha256", Json())}});
      found.push_back(std::move(checkpoint));
    } catch (const std::exception&) {  // removed meanwhile, or not whole: the manifest is written last
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

}  // namespace thalweg::service
