// report.html: one self-contained page about a run. No request leaves it; pictures are data URIs, charts are
// inline SVG. All text is escaped, so prompts and error texts may hold anything.
#pragma once

#include <cstddef>
#include <string>

#include "pipelines/report/report.h"

namespace thalweg {

inline constexpr size_t kMaxReportBytes = size_t{64} << 20;

/// The whole page as HTML. Sections without content are left out. A page of more than `max_bytes` loses its
/// pictures, then its settings, tables and charts, until it fits, and a note of it says so.
std::string render_report(const Report& report, size_t max_bytes = kMaxReportBytes);

}  // namespace thalweg
