#include "pipelines/report/page.h"

#include "pipelines/report/html.h"
#include "pipelines/report/sections.h"

namespace thalweg {
namespace {

std::string page_of(const Report& report) {
  // The policy makes the promise checkable: nothing is fetched, whatever a prompt or a plugin's text holds.
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; media-src "
      "data:; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";
  out += html::escape(report.title) + " - Thalweg</title>\n<style>" + page::kStyle +
         "</style>\n</head>\n<body>\n";
  out += page::head(report) + "<main>\n";
  out += page::health(report) + page::comparisons(report) + page::notes(report) + page::pictures(report) +
         page::charts(report);
  out += page::tables(report) + page::timings(report) + page::settings(report);
  out +=
      "</main>\n<footer><p>Written by Thalweg. This file holds everything it shows and can be moved or "
      "sent.</p></footer>\n";
  out += page::data(report);
  return out + "<script>" + page::kScript + "</script>\n</body>\n</html>\n";
}

struct Part {
  const char* name;
  const char* place;  // where to find it instead
  void (*leave_out)(Report&);
};

// In the order in which they go.
constexpr Part kParts[] = {
    {"pictures", "the folder samples/", [](Report& r) { r.grids.clear(); }},
    {"settings", "job.json", [](Report& r) { r.job = nullptr; }},
    {"tables", "result.json", [](Report& r) { r.tables.clear(); }},
    {"curves", "metrics.jsonl", [](Report& r) { r.charts.clear(); }},
};

std::string megabytes(size_t bytes) {
  return std::to_string((bytes >> 20) + 1) + " MB";
}

}  // namespace

std::string render_report(const Report& report, size_t max_bytes) {
  auto page = page_of(report);
  if (page.size() <= max_bytes) return page;
  auto smaller = report;
  for (const auto& part : kParts) {
    smaller.notes.push_back({Note::Level::warning, "The " + std::string(part.name) +
                                                       " are left out: with them this page would be " +
                                                       megabytes(page.size()) + ". They are in " +
                                                       part.place + "."});
    part.leave_out(smaller);
    page = page_of(smaller);
    if (page.size() <= max_bytes) break;
  }
  return page;
}

namespace page {

std::string section(const std::string& id, const std::string& title, const std::string& body) {
  if (body.empty()) return "";
  return "<section id=\"" + id + "\"><h2>" + html::escape(title) + "</h2>\n" + body + "</section>\n";
}

}  // namespace page
}  // namespace thalweg
