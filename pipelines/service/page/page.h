// The page's files, compiled in.
#pragma once

namespace thalweg::service {

extern const char* const kPage;
extern const char* const kPageStyle;
extern const char* const kChartScript;
extern const char* const kClientScript;
extern const char* const kFormScript;
extern const char* const kPageScript;

}  // namespace thalweg::service
