// Who may ask: keys, the names under which this server may be called, and pages of other sites.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "pipelines/service/http/router.h"

namespace thalweg::service {

class Gate {
 public:
  /// `keys`: a file with a key a line, "admin KEY" for an operator's; empty: no key is asked for, and all may
  /// do all. `hosts`: names by which clients may call the server, besides those of the loopback. Throws Error
  /// for a key shorter than 16 characters, or a file that others may read.
  Gate(const std::filesystem::path& keys, const std::vector<std::string>& hosts);

  bool asks_for_keys() const { return !keys_.empty(); }

  /// Throws ApiError: 401, 403. `local`: it came through the Unix socket, whose rights the system keeps.
  void check(const Request& request, Access access, bool local) const;

 private:
  struct Key {
    std::string sha256;
    bool admin;
  };

  void check_origin(const Request& request) const;

  std::vector<Key> keys_;
  std::set<std::string> hosts_;
};

}  // namespace thalweg::service
