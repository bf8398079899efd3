// What Wan's pipeline does to a prompt before its tokenizer reads it.
#pragma once

#include <string>
#include <string_view>

namespace thalweg {

/// HTML's character references read twice, every run of white space as one blank, none at the ends:
/// diffusers' prompt_clean() where the Python library ftfy is not installed. With it, text whose encoding was
/// mistaken somewhere ("schÃ¶n") is mended first; here it is taken as it stands. Throws Error for text that
/// is not UTF-8.
std::string wan_prompt_clean(std::string_view utf8);

}  // namespace thalweg
