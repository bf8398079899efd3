// A look at a file before the dynamic linker maps it.
#pragma once

#include <filesystem>
#include <string>

namespace thalweg {

/// "" when `path` is a whole ELF shared library for this processor, else why it is not, for the user.
/// The linker itself trusts the headers: a library that was cut short would end the program with SIGBUS.
std::string why_not_a_library(const std::filesystem::path& path);

}  // namespace thalweg
