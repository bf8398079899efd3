#include "pipelines/prompt_file.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "engine/core/error.h"
#include "engine/core/path.h"
#include "engine/core/text.h"
#include "engine/models/text/unicode.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPrompts = 1'000'000;

bool is_json_lines(const std::string& path) {
  return lower_ending(path) == ".jsonl";
}

// A table or a JSON document read as text would be prompts of braces and commas.
void require_known_ending(const std::string& path, const std::string& pointer) {
  const auto ending = lower_ending(path);
  if (ending.empty() || ending == ".txt" || ending == ".jsonl") return;
  throw Error(pointer, "\"" + path +
                           "\": files of prompts end with .txt (a prompt a line) or .jsonl ({\"prompt\": "
                           "\"...\"} a line), not with " +
                           ending + "; convert it, or rename it if it is one of these");
}

// As Python's str.strip(): White_Space, and the four separators of ASCII. `text` is valid UTF-8.
std::string without_blank_ends(const std::string& text) {
  size_t begin = text.size(), end = 0;
  for (size_t at = 0; at < text.size();) {
    const auto first = at;
    const bool blank =
        next_character(text, at) == CharacterKind::kSpace || (text[first] >= 0x1C && text[first] <= 0x1F);
    if (blank) continue;
    begin = std::min(begin, first);
    end = at;
  }
  return begin < end ? text.substr(begin, end - begin) : "";
}

// Python's open() takes a lone carriage return for the end of a line too.
std::string with_line_feeds(std::string text) {
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')) text[i] = '\n';
  return text;
}

PromptLine json_line(const std::string& line, const std::string& place) {
  const auto json = parse_json(line, place);
  const auto prompt = json.is_object() ? json.find("prompt") : json.end();
  if (prompt == json.end() || !prompt->is_string())
    throw Error(place, "must be an object with a text \"prompt\"");
  PromptLine read{place, prompt->get<std::string>(), line};
  if (read.prompt.find('\0') != std::string::npos) throw Error(place, "\"prompt\" holds a NUL character");
  return read;
}

}  // namespace

PromptFile file_of_split(const std::string& folder, const std::string& split, const std::string& pointer) {
  const fs::path text = fs::path(folder) / (split + ".txt"),
                 json = fs::path(folder) / (split + "_metadata.jsonl");
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) throw Error(pointer, "\"" + folder + "\" is no folder");
  const bool has_text = fs::exists(text, ec), has_json = fs::exists(json, ec);
  if (has_text == has_json)
    throw Error(pointer, "\"" + folder + "\" holds " + (has_text ? "both " : "neither ") +
                             text.filename().string() + (has_text ? " and " : " nor ") +
                             json.filename().string() + "; name the files one by one");
  return {(has_text ? text : json).string(), pointer, has_text};
}

std::vector<PromptLine> read_prompt_lines(const PromptFile& file, int64_t limit) {
  const auto& [path, pointer, stripped] = file;
  std::error_code ec;
  if (fs::is_directory(path, ec))
    throw Error(pointer, "\"" + path +
                             "\" is a folder; name a file of prompts (an `align` job takes Flow-GRPO's "
                             "folders at /prompts/folder)");
  require_known_ending(path, pointer);
  const bool json = is_json_lines(path);
  const auto text = read_file(path);
  if (text.starts_with("\xEF\xBB\xBF"))
    throw Error(path, "starts with a byte order mark; save it as UTF-8 without one");
  std::vector<PromptLine> prompts;
  std::istringstream lines(stripped ? with_line_feeds(text) : text);
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t\r\v\f") == std::string::npos) continue;
    const auto place = path + " line " + std::to_string(number);
    if (!is_valid_utf8(line)) throw Error(place, "is not valid UTF-8; save the prompts as UTF-8");
    if (line.find('\0') != std::string::npos) throw Error(place, "holds a NUL byte: this is no text file");
    if (stripped && (line = without_blank_ends(line)).empty()) continue;
    prompts.push_back(json ? json_line(line, place) : PromptLine{place, line, "{}"});
    if (limit > 0 && static_cast<int64_t>(prompts.size()) == limit) break;
    if (prompts.size() == kMaxPrompts)
      throw Error(path, "holds more than " + std::to_string(kMaxPrompts) + " prompts; use several files");
  }
  if (prompts.empty()) throw Error(pointer, path + " holds no prompt");
  return prompts;
}

std::string file_of(const PromptLine& line, const char* key) {
  const auto json = parse_json(line.metadata_json, line.place);
  const auto it = json.find(key);
  if (it == json.end()) return {};
  if (!it->is_string() || it->get_ref<const std::string&>().empty())
    throw Error(line.place, "\"" + std::string(key) + "\" must be the name of a file");
  return it->get<std::string>();
}

void require_json_lines(const std::string& path, const std::string& pointer) {
  if (!is_json_lines(path)) throw Error(pointer, "\"" + path + "\" is no .jsonl file");
}

}  // namespace thalweg
