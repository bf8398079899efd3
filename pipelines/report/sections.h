// The sections of the page; each returns "" when it has nothing to show.
#pragma once

#include <string>

#include "pipelines/report/report.h"

namespace thalweg::page {

std::string head(const Report& report);         // title, status, facts, the leading comparison
std::string health(const Report& report);       // what the monitors found, or that they found nothing
std::string comparisons(const Report& report);  // the other ones
std::string notes(const Report& report);
std::string pictures(const Report& report);
std::string charts(const Report& report);
std::string tables(const Report& report);
std::string timings(const Report& report);
std::string settings(const Report& report);
std::string data(const Report& report);  // report_data() as a block that a browser does not run

/// <section id><h2>title</h2>body</section>; `body` is HTML.
std::string section(const std::string& id, const std::string& title, const std::string& body);

extern const char* const kStyle;   ///< report.css
extern const char* const kScript;  ///< report.js: comfort only, without it the page still shows everything

}  // namespace thalweg::page
