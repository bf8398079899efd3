// report.html: one self-contained page about a run. No request leaves it; pictures are data URIs, charts are
// inline SVG. All text is escaped, so prompts and error texts may hold anything.
#pragma once

#include <string>

#include "pipelines/report/report.h"

namespace thalweg {

/// The whole page as HTML. Sections without content are left out.
std::string render_report(const Report& report);

}  // namespace thalweg
