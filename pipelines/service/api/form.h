// A multipart/form-data body (RFC 7578) that lies in a file: its fields, and where its one file begins and
// ends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace thalweg::service {

struct Form {
  std::map<std::string, std::string> fields;  ///< of text
  std::string filename;                       ///< its last component, printable, at most 200 bytes
  uint64_t begin = 0, size = 0;               ///< of the file "file" within the body
};

/// Throws ApiError (400) for a body that is no form with a file named "file".
Form read_form(const std::filesystem::path& body, const std::string& content_type);

/// Copies the form's file to `to`; returns its SHA-256. Throws IoError.
std::string copy_part(const std::filesystem::path& body, const Form& form, const std::filesystem::path& to);

}  // namespace thalweg::service
