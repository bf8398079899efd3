// Which files this process reaches, by the kernel's Landlock.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace thalweg {

/// Folders count with all below them; what is not there is left out.
struct ReachedFiles {
  std::vector<std::filesystem::path> read;     // and run
  std::vector<std::filesystem::path> write;    // and read, make and remove
  std::vector<std::filesystem::path> list;     // names alone
  std::vector<std::filesystem::path> devices;  // read and write, not made
};

/// Of the kernel's interface; 0 where it has none. *why, where not null: for what reason.
int landlock_version(std::string* why);

/// From here on this thread, and what it starts, reaches these alone. The process must have no other thread,
/// and be without new privileges. Returns why it is not so, or "".
std::string keep_to(const ReachedFiles& files);

}  // namespace thalweg
