#include <cmath>

#include "pipelines/report/format.h"
#include "pipelines/report/html.h"
#include "pipelines/report/sections.h"

namespace thalweg::page {
namespace {

using html::escape;

constexpr int kSmallPicture = 160;  // below it pixels are shown as squares, not blurred

std::string size_attributes(int64_t width, int64_t height) {
  return " width=\"" + std::to_string(width) + "\" height=\"" + std::to_string(height) + "\"";
}

std::string picture(const std::string& png, const std::string& text) {
  const auto size = html::png_size(png);
  if (size.width == 0) return "<span class=\"void\">no picture</span>";
  const bool small = size.width < kSmallPicture && size.height < kSmallPicture;
  return "<img src=\"" + html::png_uri(png) + "\"" + size_attributes(size.width, size.height) +
         " loading=\"lazy\" decoding=\"async\"" + (small ? " class=\"pixels\"" : "") + " alt=\"" + text +
         "\">";
}

// Without controls, since both of a pair play in step (report.js).
std::string clip(const std::string& mp4, const GridPair& grid, const std::string& text) {
  const auto uri = html::mp4_uri(mp4);
  if (uri.empty()) return "<span class=\"void\">no clip</span>";
  return "<video src=\"" + uri + "\"" + size_attributes(grid.clip_width, grid.clip_height) +
         " muted loop playsinline preload=\"auto\" aria-label=\"" + text + "\"></video>";
}

std::string shot(const std::string& bytes, const GridPair& grid, const char* side,
                 const std::string& prompt) {
  const auto text = (*side == '\0' ? "" : std::string(side) + ": ") + escape(prompt);
  return grid.clip_width > 0 ? clip(bytes, grid, text) : picture(bytes, text);
}

std::string score(double value) {
  return std::isfinite(value) ? format_number(value) : "not scored";
}

std::string scores(const PicturePair& pair, bool has_before) {
  const double change = pair.after_score - pair.before_score;
  std::string out = "<p class=\"scores\">";
  if (has_before)
    out += "<span>" + score(pair.before_score) + "</span><span aria-hidden=\"true\">\u2192</span>";
  out += "<b>" + score(pair.after_score) + "</b>";
  if (has_before && std::isfinite(change)) {
    const char* kind = change > 0 ? "good" : change < 0 ? "bad" : "flat";
    const char* sign = change > 0 ? "\u25b2 " : change < 0 ? "\u25bc " : "\u25cf ";
    out += "<span class=\"chip " + std::string(kind) + "\">" + sign + format_number(std::fabs(change)) +
           "</span>";
  }
  if (!pair.detail.empty()) out += "<span class=\"detail\">" + escape(pair.detail) + "</span>";
  return out + "</p>";
}

std::string card(const GridPair& grid, size_t index, bool scored) {
  const auto& pair = grid.pictures[index];
  const bool has_before = !pair.before.empty();
  const double change = pair.after_score - pair.before_score;
  std::string out = "<li class=\"card pair\" data-i=\"" + std::to_string(index) + "\" data-d=\"" +
                    (std::isfinite(change) ? std::to_string(change) : "") + "\">";
  out += "<button type=\"button\" class=\"shots\" aria-label=\"Enlarge: " + escape(pair.prompt) + "\">";
  if (has_before)
    out +=
        "<span class=\"shot\">" + shot(pair.before, grid, "before", pair.prompt) + "<em>before</em></span>";
  out += "<span class=\"shot\">" + shot(pair.after, grid, has_before ? "after" : "", pair.prompt) +
         (has_before ? "<em class=\"now\">after</em>" : "") + "</span></button>";
  out += "<p class=\"prompt\">" + escape(pair.prompt) + "</p>";
  if (scored)
    out += scores(pair, has_before);
  else if (!pair.detail.empty())
    out += "<p class=\"scores\"><span class=\"detail\">" + escape(pair.detail) + "</span></p>";
  return out + "</li>";
}

// How many pairs rose: a hand-picked impression is not enough.
std::string tally(const GridPair& grid) {
  int64_t better = 0, worse = 0, even = 0;
  for (const auto& pair : grid.pictures) {
    const double change = pair.after_score - pair.before_score;
    if (!std::isfinite(change)) continue;
    ++(change > 0 ? better : change < 0 ? worse : even);
  }
  if (better + worse + even == 0) return "";
  std::string out = "<p class=\"tally\"><span class=\"chip good\">\u25b2 " + std::to_string(better) +
                    " higher</span> <span class=\"chip bad\">\u25bc " + std::to_string(worse) +
                    " lower</span>";
  if (even > 0) out += " <span class=\"chip flat\">\u25cf " + std::to_string(even) + " equal</span>";
  return out + "</p>";
}

std::string grid_of(const GridPair& grid) {
  if (grid.pictures.empty()) return "";
  bool scored = false, paired = false;
  for (const auto& pair : grid.pictures) {
    scored = scored || std::isfinite(pair.before_score) || std::isfinite(pair.after_score);
    paired = paired || !pair.before.empty();
  }
  std::string out = "<div class=\"gallery\"><div class=\"bar\"><div>";
  if (!grid.title.empty()) out += "<h3>" + escape(grid.title) + "</h3>";
  if (!grid.caption.empty()) out += "<p class=\"note\">" + escape(grid.caption) + "</p>";
  if (scored && !grid.score_name.empty())
    out += "<p class=\"note\">The numbers are <b>" + escape(grid.score_name) + "</b>.</p>";
  out += "</div><div class=\"tools\">" + tally(grid);
  if (scored && paired && grid.pictures.size() > 3)
    out +=
        "<label class=\"sort\" hidden>Order <select><option value=\"i\">as drawn</option>"
        "<option value=\"up\">largest rise first</option><option value=\"down\">largest fall first</option>"
        "</select></label>";
  out += "</div></div><ul class=\"pairs" + std::string(paired ? "" : " single") + "\">";
  for (size_t i = 0; i < grid.pictures.size(); ++i) out += card(grid, i, scored);
  return out + "</ul><button type=\"button\" class=\"more\" hidden></button></div>\n";
}

constexpr const char* kViewer =
    "<dialog class=\"viewer\" aria-label=\"Picture\"><div class=\"stage\"></div>"
    "<label class=\"slide\"><span>before</span><input type=\"range\" min=\"0\" max=\"100\" value=\"50\" "
    "aria-label=\"How much of the picture before is shown\"><span>after</span></label>"
    "<p class=\"prompt\"></p><div class=\"row\"><button type=\"button\" data-go=\"-1\">\u2190 "
    "Previous</button>"
    "<button type=\"button\" data-go=\"1\">Next \u2192</button><button type=\"button\" "
    "data-close>Close</button>"
    "</div></dialog>";

}  // namespace

std::string pictures(const Report& report) {
  std::string body;
  bool clips = false;
  for (const auto& grid : report.grids) body += grid_of(grid), clips = clips || grid.clip_width > 0;
  return body.empty() ? "" : section("pictures", clips ? "Clips" : "Pictures", body + kViewer);
}

}  // namespace thalweg::page
