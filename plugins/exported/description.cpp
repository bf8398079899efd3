#include "description.h"

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/core/sha256.h"

namespace exported {
namespace {

namespace fs = std::filesystem;
using thalweg::Error;
using thalweg::Fields;
using thalweg::Json;

constexpr size_t kMaxDescriptionBytes = size_t{1} << 20;
constexpr int64_t kMaxSide = 1 << 16, kMaxTokens = 1 << 16, kMaxIds = 1 << 24;
constexpr size_t kMaxDimensions = 256, kMaxFiles = 64;

void describe(Fields& f, const char* key, Extent& extent) {
  f.object({key, "sizes that it may have", true}, [&](Fields& e) {
    e.integer({"min", "smallest", true}, extent.min, 1, kMaxSide);
    e.integer({"max", "largest", true}, extent.max, 1, kMaxSide);
    e.integer({"multiple", "of which it must be a multiple"}, extent.multiple, 1, kMaxSide);
  });
}

void describe(Fields& f, TokenizerSpec& t) {
  f.choice({"kind", "whose rules", true}, t.kind, {"clip", "t5"});
  f.integer({"length", "tokens of a prompt, padding included", true}, t.length, 2, kMaxTokens);
  f.integer({"vocabulary", "ids that the network takes", true}, t.vocabulary, 1, kMaxIds);
  f.integer({"eos", "id of the end", true}, t.eos, 0, kMaxIds);
  f.integer({"pad", "id of the padding", true}, t.pad, 0, kMaxIds);
}

void describe(Fields& f, Dimension& d) {
  f.text({"name", "of the column", true}, d.name);
  bool ranged = false;
  f.optional_object({"range", "that its numbers should keep"}, ranged, [&](Fields& r) {
    r.number({"low", "smallest", true}, d.low, -1e30, 1e30);
    r.number({"high", "largest", true}, d.high, -1e30, 1e30);
  });
}

void describe(Fields& f, Description& d, Json& files) {
  std::string format, device, machine, isa;
  f.choice({"format", "of this folder", true}, format, {"thalweg-exported/1"});
  f.text({"name", "of the reward", true}, d.name);
  f.text({"licence", "of the weights", true}, d.licence);
  f.text({"source", "where the network is from", true}, d.source);
  f.list({"dimensions", "columns of the scores", true}, d.dimensions,
         [](Fields& g, Dimension& dimension) { describe(g, dimension); });
  f.list({"inputs", "arguments of the network", true}, d.inputs, [](Fields& g, Input& input) {
    g.text({"name", "in graph.json", true}, input.name);
    g.choice({"kind", "what is put there", true}, input.kind, {"pictures", "videos", "tokens", "token_mask"});
  });
  f.integer({"max_batch", "pictures or videos of one call", true}, d.max_batch, 1, 65536);
  describe(f, "height", d.height);
  describe(f, "width", d.width);
  describe(f, "frames", d.frames);
  f.choice({"preprocess", "before the network", true}, d.preprocess, {"graph", "exact", "smooth"});
  f.choice({"dtype", "of the network", true}, d.dtype, {"float32", "float16", "bfloat16"});
  f.boolean({"differentiable", "whether its gradient means something", true}, d.differentiable);
  f.optional_object({"tokenizer", "files in tokenizer/"}, d.has_tokenizer,
                    [&](Fields& t) { describe(t, d.tokenizer); });
  f.object({"exported_by", "what wrote it", true}, [&](Fields& e) {
    e.text({"torch", "version", true}, d.torch);
    e.text({"device", "on which it was checked", true}, device);
    e.text({"machine", "processor", true}, machine);
    e.text({"isa", "vector instructions", true}, isa);
  });
  f.foreign({"files", "sha256 of each file", true}, files);
}

/// Number of inputs of `kind`.
int64_t count(const Description& d, const std::string& kind) {
  return std::count_if(d.inputs.begin(), d.inputs.end(), [&](const Input& i) { return i.kind == kind; });
}

void check(const Description& d, const std::string& at) {
  if (d.dimensions.empty() || d.dimensions.size() > kMaxDimensions)
    throw Error(at + "/dimensions", "must name 1 to " + std::to_string(kMaxDimensions) + " columns");
  std::set<std::string> names;
  for (size_t k = 0; k < d.dimensions.size(); ++k) {
    const auto& [name, low, high] = d.dimensions[k];
    const auto place = at + "/dimensions/" + std::to_string(k);
    if (name.empty() || !names.insert(name).second)
      throw Error(place, "has no name of its own: \"" + name + "\"");
    if (low > high) throw Error(place + "/range", "its low is above its high");
  }
  for (const auto* e : {&d.height, &d.width, &d.frames})
    if (e->min > e->max || e->max < e->multiple)
      throw Error(at, "an extent of " + e->text() + " holds no size: see height, width and frames");
  if (d.inputs.empty() || d.inputs.size() > 3 ||
      (d.inputs[0].kind != "pictures" && d.inputs[0].kind != "videos"))
    throw Error(at + "/inputs",
                "must be pictures or videos first, then tokens and token_mask if it reads text");
  if (count(d, "pictures") + count(d, "videos") != 1 || count(d, "tokens") > 1 || count(d, "token_mask") > 1)
    throw Error(at + "/inputs", "names a kind twice");
  const bool text = count(d, "tokens") + count(d, "token_mask") > 0;
  if (text != d.has_tokenizer)
    throw Error(at + "/tokenizer", text ? "is missing, and an input takes tokens" : "is read by no input");
  if (d.preprocess == "exact" && d.differentiable)
    throw Error(at + "/differentiable", "pictures rounded to 8 bits have no gradient: \"smooth\" has");
}

/// A name of one or two components that cannot lead out of the folder.
bool is_inner_name(const std::string& name) {
  const fs::path path(name);
  if (name.empty() || name.size() > 200 || path.is_absolute() || name.find('\\') != std::string::npos)
    return false;
  int64_t parts = 0;
  for (const auto& part : path) {
    if (part.empty() || part == "." || part == "..") return false;
    ++parts;
  }
  return parts <= 2;
}

std::map<std::string, std::string> checked_files(const Json& files, const fs::path& folder,
                                                 const std::string& at) {
  if (!files.is_object() || files.size() > kMaxFiles)
    throw Error(at, "must be an object of at most " + std::to_string(kMaxFiles) + " files and their sha256");
  std::map<std::string, std::string> known;
  for (const auto& [name, sha] : files.items()) {
    if (!is_inner_name(name)) throw Error(at, "\"" + name + "\" is no file within the folder");
    if (!sha.is_string()) throw Error(at + "/" + thalweg::pointer_token(name), "must be a sha256");
    if (thalweg::sha256_file(folder / name) != sha.get_ref<const std::string&>())
      throw Error((folder / name).string(), "is not the file that reward.json describes: its sha256 differs");
    known[name] = sha;
  }
  return known;
}

/// What the engine's readers find in a subfolder must be of the export: they take what lies there.
void require_named(const std::map<std::string, std::string>& files, const fs::path& folder,
                   const std::string& sub, bool used) {
  std::error_code ec;
  const bool there = fs::is_directory(folder / sub, ec);
  if (there != used)
    throw Error((folder / sub).string(), used ? "is missing, and reward.json uses it" : "is used by nothing");
  if (!there) return;
  for (const auto& path : thalweg::entries_below(folder / sub))
    if (!files.contains(path.lexically_relative(folder).generic_string()))
      throw Error(path.string(), "is not among the files of reward.json");
}

}  // namespace

std::string Extent::text() const {
  if (min == max) return std::to_string(min);
  auto said = std::to_string(min) + " to " + std::to_string(max);
  if (multiple > 1) said += " in steps of " + std::to_string(multiple);
  return said;
}

Description read_description(const fs::path& folder) {
  const auto path = folder / "reward.json";
  const auto at = path.string() + "#";
  Description d;
  Json files;
  thalweg::read_fields(thalweg::parse_json_file(path, kMaxDescriptionBytes), at,
                       [&](Fields& f) { describe(f, d, files); });
  check(d, at);
  d.files = checked_files(files, folder, at + "/files");
  for (const auto* required : {"graph.json", "weights.safetensors"})
    if (!d.files.contains(required)) throw Error(at + "/files", "does not name " + std::string(required));
  require_named(d.files, folder, "tokenizer", d.has_tokenizer);
  require_named(d.files, folder, "processor", d.preprocess != "graph");
  return d;
}

}  // namespace exported
