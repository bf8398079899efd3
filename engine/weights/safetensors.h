// safetensors in and out: https://github.com/huggingface/safetensors, format version 0.3+.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/values.h"

namespace thalweg {

using Metadata = std::map<std::string, std::string>;

struct SafetensorsFile {
  TensorMap tensors;
  Metadata metadata;
};

/// Reads a file by mmap; the tensors alias the mapping (copy-on-write) and keep it alive. Every rule of the
/// format is checked before a size is used: header length, UTF-8, duplicate keys, dtype, contiguous offsets
/// without holes or overlap that end at the file's end, shape product against span. Where this is stricter
/// than the reference reader: docs/decisions/0012. Throws Error naming the file. The file must not be
/// shortened while its tensors live (mapped_file.h).
SafetensorsFile read_safetensors(const std::filesystem::path& path);

/// The same of a file's bytes in memory, which `owner` keeps alive and the tensors alias. Throws Error with
/// `place`.
SafetensorsFile parse_safetensors(std::span<std::byte> bytes, const std::shared_ptr<const void>& owner,
                                  const std::string& place);

/// Throws Error with `place` for a tensor that holds NaN or infinity: the format allows them, weights,
/// latents and pictures do not. One pass over memory, without a copy.
void require_finite(const TensorMap& tensors, const std::string& place);

/// Writes atomically (temporary file, fsync, rename), tensors in name order, made contiguous, on the CPU.
void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const Metadata& metadata = {});

/// Hands the data of `tensors` to `consume`, in the order and the form in which write_safetensors stores it:
/// what follows the header of the file. `place` names it in errors.
void stored_data(const TensorMap& tensors, const std::string& place,
                 const std::function<void(std::string_view)>& consume);

/// Reads "<stem>.safetensors", or the shards that "<stem>.safetensors.index.json" names, in `folder`; of a
/// variant ("fp16") "<stem>.fp16.safetensors" or the shards of "<stem>.safetensors.index.fp16.json", as
/// diffusers names them. Pickled files are refused with the way to convert them. Shard names are confined to
/// the folder.
TensorMap read_weights(const std::filesystem::path& folder, const std::string& stem,
                       const std::string& variant = "");

/// The files that read_weights() would read, the index included.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& folder, const std::string& stem,
                                                const std::string& variant = "");

/// Whether the folder holds weights of that variant.
bool has_variant(const std::filesystem::path& folder, const std::string& stem, const std::string& variant);

}  // namespace thalweg
