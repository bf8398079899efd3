// A model's folder written anew from what its loader read of another: nothing else of that folder comes
// along.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/weights/folder.h"

namespace thalweg {

/// A file that is read of a model's folder (a link is what it leads to), and its name in a copy.
struct ModelFile {
  std::filesystem::path source, name;
};

/// model_index.json aside: config.json and weights of a component. Weights of a variant take the plain names,
/// so that the copy is read without naming one.
std::vector<ModelFile> component_copy(const ModelFolder& folder, const std::string& name);

/// The files of a tokenizer's folder, by the names that transformers gives them. What this program does not
/// read beside a tokenizer.json (vocab.json, merges.txt, spiece.model) is left out where it is a link out of
/// the model: it might be anything.
std::vector<ModelFile> tokenizer_copy(const ModelFolder& folder, const std::string& name);

/// Bytes of the files. Throws Error naming the first that cannot be opened.
uint64_t readable_bytes(const std::vector<ModelFile>& files);

/// Writes `files` and an index that lists their components into `target`. Absolute paths ("_name_or_path",
/// "tokenizer_file") are left out of configs: they say where a model once lay, and nothing reads them.
/// Throws Error or IoError naming the file.
void copy_model(const ModelFolder& folder, const std::vector<ModelFile>& files,
                const std::filesystem::path& target);

}  // namespace thalweg
