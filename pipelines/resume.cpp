#include "pipelines/resume.h"

#include "engine/core/error.h"
#include "engine/io/checkpoint.h"
#include "engine/io/sha256.h"

namespace thalweg {

std::string job_hash(const Fields::Describe& describe) {
  auto json = write_fields(describe);
  json.erase("output");
  if (json.contains("parallel")) json["parallel"].erase("workers");
  return sha256_hex(json.dump());
}

void require_own_checkpoint(const std::filesystem::path& folder, const std::string& job_hash) {
  for (const auto& checkpoint : list_checkpoints(folder))
    if (std::filesystem::exists(checkpoint / "manifest.json") &&
        read_manifest(checkpoint).job_hash != job_hash)
      throw Error("/output",
                  checkpoint.string() + " belongs to another job; choose another output folder or remove it");
}

}  // namespace thalweg
