// Rewards that an operator loads while the service runs: a library each, in the store, checked before it is
// there.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

class PluginShelf {
 public:
  /// `program`: thalweg; `root`: where paths begin.
  PluginShelf(boost::asio::io_context& context, Store& store, std::filesystem::path program,
              std::filesystem::path root);

  std::vector<std::filesystem::path> folders() const;

  /// Puts `source` (the id of a file, or a path below the root) there as `name`, once every clause of the
  /// plugin contract holds for it with this configuration. Throws ApiError: 400 for a name or a file that is
  /// none, or with the clauses that are broken; 409 where the name is taken.
  boost::asio::awaitable<void> load(std::string name, std::string source, Json config);
  /// Jobs that were submitted keep it. Throws ApiError (404).
  void unload(const std::string& name);

 private:
  boost::asio::awaitable<void> require_contract(std::filesystem::path library, Json config);

  boost::asio::io_context& context_;
  Store& store_;
  std::filesystem::path program_, root_;
};

}  // namespace thalweg::service
