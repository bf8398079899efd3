#include "pipelines/service/api/form.h"

#include <algorithm>
#include <fstream>
#include <optional>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/sha256.h"
#include "engine/core/text.h"
#include "pipelines/service/http/message.h"

namespace thalweg::service {
namespace {

constexpr uint64_t kBlock = uint64_t{1} << 20;
constexpr size_t kLongestHead = 4096, kLongestField = 65536, kMostParts = 32, kLongestFilename = 200;

[[noreturn]] void refuse(const std::string& why) {
  throw ApiError(400, "invalid_form",
                 "the body must be multipart/form-data with a file named \"file\": " + why);
}

std::string boundary_of(const std::string& content_type) {
  const auto at = content_type.find("boundary=");
  if (!content_type.starts_with("multipart/form-data") || at == std::string::npos)
    refuse("its Content-Type says no boundary");
  auto text = content_type.substr(at + 9);
  if (text.starts_with("\"")) {
    text = text.substr(1, text.find('"', 1) - 1);
  } else {
    text = text.substr(0, text.find(';'));
  }
  if (text.empty() || text.size() > 70) refuse("its boundary must have 1 to 70 characters");
  return text;
}

std::string at(std::ifstream& file, uint64_t begin, uint64_t size) {
  std::string bytes(size, '\0');
  file.clear();
  file.seekg(static_cast<std::streamoff>(begin));
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return bytes;
}

/// Where `text` next stands, in blocks that overlap.
std::optional<uint64_t> find(std::ifstream& file, uint64_t from, const std::string& text) {
  for (;; from += kBlock) {
    const auto block = at(file, from, kBlock + text.size());
    const auto found = block.find(text);
    if (found != std::string::npos) return from + found;
    if (block.size() < kBlock + text.size()) return std::nullopt;
  }
}

/// `name="..."` of a part's Content-Disposition.
std::optional<std::string> parameter(const std::string& head, const std::string& name) {
  const auto at = head.find("; " + name + "=\"");
  if (at == std::string::npos) return std::nullopt;
  const auto begin = at + name.size() + 4;
  return head.substr(begin, head.find('"', begin) - begin);
}

std::string safe_name(const std::string& name) {
  const auto slash = name.find_last_of("/\\");
  return printable(slash == std::string::npos ? name : name.substr(slash + 1), kLongestFilename);
}

}  // namespace

Form read_form(const std::filesystem::path& body, const std::string& content_type) {
  const auto mark = "--" + boundary_of(content_type);
  std::ifstream file(body, std::ios::binary);
  Form form;
  bool has_file = false;
  auto begin = find(file, 0, mark);
  for (size_t parts = 0; begin; ++parts) {
    const auto head_at = *begin + mark.size();
    if (at(file, head_at, 2) == "--") break;
    if (parts == kMostParts) refuse("it has more than 32 parts");
    const auto head = at(file, head_at, kLongestHead);
    const auto head_size = head.find("\r\n\r\n");
    if (head_size == std::string::npos) refuse("a part has no end of its headers");
    const auto content = head_at + head_size + 4;
    const auto end = find(file, content, "\r\n" + mark);
    if (!end) refuse("a part has no end");
    const auto name = parameter(head.substr(0, head_size), "name");
    if (!name) refuse("a part has no name");
    if (*name == "file" && !has_file) {
      has_file = true;
      form.filename = safe_name(parameter(head.substr(0, head_size), "filename").value_or(""));
      form.begin = content;
      form.size = *end - content;
    } else {
      if (*end - content > kLongestField)
        refuse("the part \"" + printable(*name, 60) + "\" is too long for a text");
      form.fields[*name] = at(file, content, *end - content);
    }
    begin = *end + 2;
  }
  if (!has_file) refuse("there is none");
  return form;
}

std::string copy_part(const std::filesystem::path& body, const Form& form, const std::filesystem::path& to) {
  std::ifstream from(body, std::ios::binary);
  AppendFile out(to, AppendFile::Mode::replace);
  Sha256 hash;
  for (uint64_t done = 0; done < form.size;) {
    const auto block = at(from, form.begin + done, std::min(kBlock, form.size - done));
    if (block.empty()) throw IoError(body, "ended early");
    out.write(block);
    hash.update(block);
    done += block.size();
  }
  return hash.hex();
}

}  // namespace thalweg::service
