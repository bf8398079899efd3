#include <algorithm>
#include <cmath>

#include "pipelines/report/format.h"
#include "pipelines/report/html.h"
#include "pipelines/report/sections.h"

namespace thalweg::page {
namespace {

using html::escape;

// Contour lines of a river bed; the bold one is the thalweg.
constexpr const char* kRiver =
    R"(<svg class="river" viewBox="0 0 1200 420" preserveAspectRatio="xMidYMid slice" aria-hidden="true">)"
    R"(<path d="M-20 60C160 10 300 150 480 120S760 10 900 70s220 60 340 10"/>)"
    R"(<path d="M-20 125C160 75 290 210 470 180S750 75 890 130s230 65 350 20"/>)"
    R"(<path d="M-20 180C170 140 290 262 470 236S740 140 885 188s235 66 355 30"/>)"
    R"(<path class="deep" d="M-20 228C180 194 295 304 468 282S735 198 880 240s240 62 360 36"/>)"
    R"(<path d="M-20 272C185 248 300 342 468 326S735 250 880 290s240 58 360 40"/>)"
    R"(<path d="M-20 328C190 312 305 388 470 376S740 310 885 350s235 50 355 40"/>)"
    R"(<path d="M-20 395C195 388 310 436 475 430S745 382 890 416s230 44 350 36"/></svg>)";

constexpr const char* kMark =
    R"(<svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M2 7c4-4 7 3 11 1s5-4 9-2"/>)"
    R"(<path class="deep" d="M2 13c4-4 7 4 11 1.500s5-3.500 9-1.500"/><path d="M2 19c4-3 7 3 11 1s5-3 9-1"/></svg>)";

std::string with_sign(double value) {
  const std::string text = format_number(std::fabs(value));
  if (text == "-" || text == "0") return text;
  return (value < 0 ? "\u2212" : "+") + text;
}

struct Verdict {
  const char* kind;  // class of the chip
  const char* words;
};

Verdict verdict_of(const Comparison& comparison) {
  const auto& d = comparison.difference;
  if (!std::isfinite(d.low) || !std::isfinite(d.high)) return {"flat", "too few pairs"};
  const double sign = comparison.higher_is_better ? 1.0 : -1.0;
  if (std::min(sign * d.low, sign * d.high) > 0.0) return {"good", "improved"};
  if (std::max(sign * d.low, sign * d.high) < 0.0) return {"bad", "worse"};
  return {"flat", "no clear change"};
}

// Before and after as dots on a line of their own scale, the interval as a bar around the later one.
std::string track(const PairedDifference& d) {
  const bool interval = std::isfinite(d.low) && std::isfinite(d.high);
  const double low_end = interval ? d.mean_before + d.low : d.mean_after;
  const double high_end = interval ? d.mean_before + d.high : d.mean_after;
  double low = std::min({d.mean_before, d.mean_after, low_end});
  double high = std::max({d.mean_before, d.mean_after, high_end});
  const double room = high > low ? 0.06 * (high - low) : 1.0;
  low -= room;
  high += room;
  const auto at = [&](double value) { return (value - low) / (high - low); };
  const double left = std::min(at(d.mean_before), at(d.mean_after));
  std::string out =
      "<div class=\"track\" aria-hidden=\"true\"><i class=\"way\" style=\"left:" + html::percent(left) +
      ";width:" + html::percent(std::fabs(at(d.mean_after) - at(d.mean_before))) + "\"></i>";
  if (interval)
    out += "<i class=\"span\" style=\"left:" + html::percent(at(low_end)) +
           ";width:" + html::percent(at(high_end) - at(low_end)) + "\"></i>";
  out += "<i class=\"dot from\" style=\"left:" + html::percent(at(d.mean_before)) +
         "\"></i><i class=\"dot to\" style=\"left:" + html::percent(at(d.mean_after)) + "\"></i></div>";
  return out;
}

std::string comparison_body(const Comparison& comparison) {
  const auto& d = comparison.difference;
  const Verdict verdict = verdict_of(comparison);
  std::string out = "<p class=\"label\">" + escape(comparison.label) + " <span class=\"chip " + verdict.kind +
                    "\">" + verdict.words + "</span></p>";
  out += "<p class=\"numbers\"><span><small>before</small>" + format_number(d.mean_before) +
         "</span><span class=\"arrow\" aria-hidden=\"true\">\u2192</span><span "
         "class=\"now\"><small>after</small>" +
         format_number(d.mean_after) + "</span></p>";
  if (d.n > 0) out += track(d);
  out += "<p class=\"fine\"><b>" + with_sign(d.mean) + "</b>";
  if (std::isfinite(d.low)) out += " (95% interval " + with_sign(d.low) + " to " + with_sign(d.high) + ")";
  out += "</p><p class=\"fine\">" + std::to_string(d.n) + (d.n == 1 ? " pair" : " pairs");
  if (d.dropped > 0) out += ", " + std::to_string(d.dropped) + " not scored";
  if (!comparison.higher_is_better) out += ", lower is better";
  out += "</p>";
  if (!comparison.note.empty()) out += "<p class=\"fine\">" + escape(comparison.note) + "</p>";
  return out;
}

std::string status_kind(const std::string& status) {
  if (status == "succeeded") return "good";
  if (status == "failed") return "bad";
  return "flat";
}

}  // namespace

std::string head(const Report& report) {
  std::string out = "<header class=\"hero\">" + std::string(kRiver) +
                    "<div class=\"wrap\"><p class=\"brand\">" + kMark + "<span>Thalweg</span>";
  if (!report.status.empty())
    out += "<span class=\"chip " + status_kind(report.status) + "\">" + escape(report.status) + "</span>";
  out += "</p><div class=\"two\"><div><h1>" + escape(report.title) + "</h1>";
  if (!report.subtitle.empty()) out += "<p class=\"sub\">" + escape(report.subtitle) + "</p>";
  if (!report.headline.empty()) {
    out += "<dl class=\"facts\">";
    for (const auto& fact : report.headline)
      out += "<div><dt>" + escape(fact.label) + "</dt><dd>" + escape(fact.value) + "</dd></div>";
    out += "</dl>";
  }
  out += "</div>";
  if (!report.comparisons.empty())
    out += "<div class=\"lead\">" + comparison_body(report.comparisons.front()) + "</div>";
  return out + "</div></div></header>\n";
}

std::string comparisons(const Report& report) {
  if (report.comparisons.size() < 2) return "";
  std::string body = "<div class=\"cards\">";
  for (size_t i = 1; i < report.comparisons.size(); ++i)
    body += "<div class=\"card compare\">" + comparison_body(report.comparisons[i]) + "</div>";
  return section("others", "Other rewards, same prompts and seeds", body + "</div>");
}

}  // namespace thalweg::page
