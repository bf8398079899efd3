#include "pipelines/report/page.h"

#include "pipelines/report/html.h"
#include "pipelines/report/sections.h"

namespace thalweg {

std::string render_report(const Report& report) {
  // The policy makes the promise checkable: nothing is fetched, whatever a prompt or a plugin's text holds.
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
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

namespace page {

std::string section(const std::string& id, const std::string& title, const std::string& body) {
  if (body.empty()) return "";
  return "<section id=\"" + id + "\"><h2>" + html::escape(title) + "</h2>\n" + body + "</section>\n";
}

}  // namespace page
}  // namespace thalweg
