#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "pipelines/report/chart.h"
#include "pipelines/report/format.h"
#include "pipelines/report/html.h"
#include "pipelines/report/sections.h"

namespace thalweg::page {
namespace {

using html::escape;

// "0.31", "+0.5", "12 %", "-" and the like line up at the right.
bool reads_as_number(const std::string& cell) {
  std::string_view text(cell);
  while (!text.empty() && (text.front() == '+' || text.front() == ' ')) text.remove_prefix(1);
  if (text == "-" || text.empty()) return !cell.empty();
  double value = 0.0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc();
}

std::string table_of(const Table& table) {
  if (table.header.empty() && table.rows.empty()) return "";
  size_t columns = table.header.size();
  for (const auto& row : table.rows) columns = std::max(columns, row.size());
  std::vector<bool> numeric(columns, !table.rows.empty());
  for (const auto& row : table.rows)
    for (size_t c = 0; c < row.size(); ++c)
      numeric[c] = numeric[c] && (row[c].empty() || reads_as_number(row[c]));
  if (columns > 0) numeric[0] = false;  // the row's name
  const auto cell = [&](const char* tag, const std::vector<std::string>& row, size_t c) {
    return std::string("<") + tag + (numeric[c] ? " class=\"n\">" : ">") +
           (c < row.size() ? escape(row[c]) : "") + "</" + (tag[1] == 'd' ? "td>" : "th>");
  };
  std::string out = "<div class=\"card\">";
  if (!table.title.empty()) out += "<h3>" + escape(table.title) + "</h3>";
  out += "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"" + escape(table.title) +
         "\"><table>";
  if (!table.header.empty()) {
    out += "<thead><tr>";
    for (size_t c = 0; c < columns; ++c) out += cell("th scope=\"col\"", table.header, c);
    out += "</tr></thead>";
  }
  out += "<tbody>";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (size_t c = 0; c < columns; ++c)
      out += c == 0 ? cell("th scope=\"row\"", row, c) : cell("td", row, c);
    out += "</tr>";
  }
  out += "</tbody></table></div>";
  if (!table.note.empty()) out += "<p class=\"note\">" + escape(table.note) + "</p>";
  return out + "</div>\n";
}

std::string indent(size_t depth) {
  return "\n" + std::string(2 * depth, ' ');
}

// The job as text with its keys marked; short arrays stay on one line.
std::string json_html(const Json& json, size_t depth) {
  const auto text = [](const Json& value) {
    return escape(value.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  if (!json.is_structured() || json.empty()) return "<span class=\"v\">" + text(json) + "</span>";
  const bool flat = json.is_array() &&
                    std::none_of(json.begin(), json.end(), [](const Json& j) { return j.is_structured(); });
  std::string out = json.is_array() ? "[" : "{";
  bool first = true;
  for (const auto& item : json.items()) {
    if (!first) out += flat ? ", " : ",";
    first = false;
    if (!flat) out += indent(depth + 1);
    if (json.is_object()) out += "<span class=\"k\">" + text(Json(item.key())) + "</span>: ";
    out += json_html(item.value(), depth + 1);
  }
  if (!flat) out += indent(depth);
  return out + (json.is_array() ? "]" : "}");
}

std::string timing_row(const Timing& timing, double longest, double total) {
  const double share = total > 0.0 ? timing.wall_s / total : 0.0;
  const std::string percent =
      share > 0.0 && share < 0.01 ? "<1%" : std::to_string(std::lround(100.0 * share)) + "%";
  std::string out =
      "<li><span class=\"name\">" + escape(timing.phase) + "</span><span class=\"meter\"><i style=\"width:" +
      html::percent(longest > 0.0 ? timing.wall_s / longest : 0.0) + "\"></i></span><span class=\"n\">" +
      format_duration(timing.wall_s) + "</span><span class=\"n dim\">" + escape(percent) + "</span>";
  if (std::isfinite(timing.cpu_s) && timing.wall_s > 0.0) {
    char cores[32];
    std::snprintf(cores, sizeof cores, "%.1f cores", timing.cpu_s / timing.wall_s);
    out += "<span class=\"n dim cpu\" title=\"processor time " + format_duration(timing.cpu_s) + "\">" +
           cores + "</span>";
  } else {
    out += "<span class=\"cpu\"></span>";
  }
  return out + "</li>";
}

}  // namespace

std::string health(const Report& report) {
  const auto& h = report.health;
  std::string body;
  for (const auto& f : h.findings)
    body += "<li class=\"" + std::string(f.over ? "info" : "warning") + "\"><b>" +
            (f.over ? "over" : "alarm") + "</b><span><strong>" + escape(f.title) + "</strong> <em>" +
            escape(f.when) + "</em>\n" + escape(f.text) + "\n<i>What to do:</i> " + escape(f.advice) +
            "</span></li>";
  if (h.findings.empty() && !h.watched.empty())
    body = "<li class=\"good\"><b>no alarm</b><span>" + escape(h.watched) + "</span></li>";
  else if (!h.watched.empty())
    body += "<li class=\"info\"><b>watched</b><span>" + escape(h.watched) + "</span></li>";
  return body.empty() ? ""
                      : section("health", "Health", "<ul class=\"card notes findings\">" + body + "</ul>");
}

std::string notes(const Report& report) {
  static const char* const kKinds[] = {"info", "warning", "error"};
  std::string body;
  // The worst first: it is what a reader must not miss.
  for (auto level : {Note::Level::error, Note::Level::warning, Note::Level::info})
    for (const auto& note : report.notes) {
      if (note.level != level) continue;
      const std::string kind = kKinds[static_cast<int>(level)];
      body += "<li class=\"" + kind + "\"><b>" + (level == Note::Level::info ? "note" : kind) + "</b><span>" +
              escape(note.text) + "</span></li>";
    }
  return body.empty() ? "" : section("notes", "What happened", "<ul class=\"card notes\">" + body + "</ul>");
}

std::string charts(const Report& report) {
  std::string body;
  for (const auto& chart : report.charts) body += render_chart(chart);
  return body.empty() ? "" : section("curves", "Curves", "<div class=\"charts\">" + body + "</div>");
}

std::string tables(const Report& report) {
  std::string body;
  for (const auto& table : report.tables) body += table_of(table);
  return section("numbers", "Evaluation", body);
}

std::string timings(const Report& report) {
  double longest = 0.0, total = 0.0;
  for (const auto& timing : report.timings) {
    longest = std::max(longest, timing.wall_s);
    total += timing.wall_s;
  }
  if (report.timings.empty()) return "";
  std::string body = "<div class=\"card\"><p class=\"total\"><b>" + format_duration(total) +
                     "</b> of wall time, by phase</p><ul class=\"times\">";
  for (const auto& timing : report.timings) body += timing_row(timing, longest, total);
  return section("time", "Time", body + "</ul></div>");
}

std::string settings(const Report& report) {
  if (report.job.is_null() || report.job.empty()) return "";
  return section("settings", "Settings",
                 "<details class=\"card\"><summary>The job with every default written out</summary>"
                 "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Job\"><pre>" +
                     json_html(report.job, 0) + "</pre></div></details>");
}

}  // namespace thalweg::page
