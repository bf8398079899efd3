// Character references of HTML ("&amp;", "&#38;", "&#x26;") as the characters they stand for.
#pragma once

#include <string>
#include <string_view>

namespace thalweg {

/// Equal to html.unescape() of Python: the references that HTML 5 names, also without their semicolon where
/// HTML knows them so; numbers as browsers read them (Windows-1252 for 128 to 159, nothing for control
/// characters, U+FFFD for what is no character). What is no reference stays. `utf8` is valid UTF-8.
std::string html_unescape(std::string_view utf8);

/// html_entities.txt: a line a name, its characters in hexadecimal; "*" in front: known without a semicolon
/// too.
extern const char* const kHtmlEntities;

}  // namespace thalweg
