#include "pipelines/prompt_file.h"

#include <sstream>

#include "engine/core/error.h"
#include "engine/core/path.h"
#include "engine/core/text.h"

namespace thalweg {
namespace {

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

std::vector<PromptLine> read_prompt_lines(const std::string& path, const std::string& pointer,
                                          int64_t limit) {
  require_known_ending(path, pointer);
  const bool json = is_json_lines(path);
  const auto text = read_file(path);
  if (text.starts_with("\xEF\xBB\xBF"))
    throw Error(path, "starts with a byte order mark; save it as UTF-8 without one");
  std::vector<PromptLine> prompts;
  std::istringstream lines(text);
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t\r\v\f") == std::string::npos) continue;
    const auto place = path + " line " + std::to_string(number);
    if (!is_valid_utf8(line)) throw Error(place, "is not valid UTF-8; save the prompts as UTF-8");
    if (line.find('\0') != std::string::npos) throw Error(place, "holds a NUL byte: this is no text file");
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
