#include "engine/io/metrics.h"

#include <string>
#include <string_view>
#include <utility>

#include "engine/core/error.h"

namespace thalweg {
namespace {

std::string line_of(const Json& row) {
  return row.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// A last line without its newline was cut by a kill: a row appended behind it would be lost with it.
AppendFile open_log(const std::filesystem::path& path) {
  std::error_code ec;
  if (std::filesystem::is_regular_file(path, ec)) {
    const std::string text = read_file(path, kMaxMetricsBytes);
    if (!text.empty() && text.back() != '\n') {
      const size_t last = text.rfind('\n');
      std::filesystem::resize_file(path, last == std::string::npos ? 0 : last + 1, ec);
      if (ec) throw_io_error(path, "a torn last line cannot be cut off", ec.value());
    }
  }
  return AppendFile(path, AppendFile::Mode::append);
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& path) : file_(open_log(path)) {}

void MetricsLog::append(const Json& row) {
  if (!row.is_object()) throw Error(file_.path().string(), "a row of metrics must be a JSON object");
  file_.write(line_of(row));
}

std::vector<Json> MetricsLog::read_all(const std::filesystem::path& path) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) return {};
  const std::string text = read_file(path, kMaxMetricsBytes);
  std::vector<Json> rows;
  int64_t number = 0;
  // Without its newline the last line is torn, even where what is left of it parses.
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string place = path.string() + ": line " + std::to_string(++number);
    try {
      Json row = parse_json(std::string_view(text).substr(begin, end - begin), place);
      if (!row.is_object()) throw Error(place, "is not a JSON object");
      rows.push_back(std::move(row));
    } catch (const Error&) {
      if (end + 1 < text.size()) throw;  // the last line may have been zeroed by a power cut
    }
  }
  return rows;
}

}  // namespace thalweg
