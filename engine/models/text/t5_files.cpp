#include "engine/models/text/t5_files.h"

#include <algorithm>

#include "engine/core/base64.h"
#include "engine/core/error.h"
#include "engine/models/text/bpe_fields.h"
#include "engine/models/text/spiece_file.h"

namespace thalweg {
namespace {

using nlohmann::json;

constexpr int64_t kExtraIds = 100;  // transformers' default
constexpr int64_t kMaxExtraIds = 100'000;

/// The first compiled normaliser, alone or in a sequence.
std::string charsmap_of(const json& normalizer, const std::string& place) {
  if (!normalizer.is_object()) return {};
  if (const auto& list = member(normalizer, "normalizers"); list.is_array()) {
    for (const auto& entry : list)
      if (auto rules = charsmap_of(entry, place); !rules.empty()) return rules;
    return {};
  }
  if (member(normalizer, "type") != "Precompiled") return {};
  const auto& rules = member(normalizer, "precompiled_charsmap");
  if (rules.is_null()) return {};
  if (!rules.is_string()) throw Error(place, "precompiled_charsmap must be a text");
  auto bytes = decode_base64(rules.get_ref<const std::string&>());
  if (!bytes) throw Error(place, "precompiled_charsmap is not base64");
  return std::move(*bytes);
}

std::vector<UnigramPiece> pieces_of(const json& model, const std::string& place) {
  if (!model.is_object() || member(model, "type") != "Unigram")
    throw Error(place, "its model is not Unigram: this is not a T5 tokenizer");
  const auto& vocabulary = member(model, "vocab");
  if (!vocabulary.is_array()) throw Error(place, "model.vocab must be a list of [piece, score]");
  std::vector<UnigramPiece> pieces;
  pieces.reserve(vocabulary.size());
  for (const auto& entry : vocabulary) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      throw Error(place, "piece " + std::to_string(pieces.size()) + " is not [piece, score]");
    pieces.push_back({entry[0].get<std::string>(), entry[1].get<double>()});
  }
  return pieces;
}

int64_t read_extra_ids(const TokenizerSource& source) {
  const auto config = read_tokenizer_json(source, "tokenizer_config.json");
  if (config.is_null()) return kExtraIds;
  const auto& value = member(config, "extra_ids");
  if (value.is_null()) return kExtraIds;
  if (value.is_number_integer() && value >= 0 && value <= kMaxExtraIds) return value.get<int64_t>();
  throw Error((source.folder / "tokenizer_config.json").string(),
              "extra_ids must be an integer in 0 .. " + std::to_string(kMaxExtraIds));
}

std::string extra_name(int64_t index) {
  return "<extra_id_" + std::to_string(index) + ">";
}

/// T5's own special tokens, before the files are asked. Blanks beside a token go away with all others, so
/// whether it takes them (lstrip, rstrip) makes no difference.
SpecialTokens t5_defaults(int64_t extra_ids, const std::string& place) {
  SpecialTokens special;
  special.bos.clear();
  special.eos = "</s>";
  special.unknown = "<unk>";
  special.pad = "<pad>";
  special.refused_flags = {"single_word"};
  for (int64_t i = 0; i < extra_ids; ++i) special.extra.push_back({extra_name(i), place, true, {}, {}});
  return special;
}

T5TokenizerFiles read_spiece(const TokenizerSource& source, int64_t extra_ids) {
  const auto path = source.folder / "spiece.model";
  auto spiece = read_spiece_file(path);
  T5TokenizerFiles files{std::move(spiece.pieces), std::move(spiece.charsmap), {}, path.string()};
  auto defaults = t5_defaults(extra_ids, files.place);
  for (size_t i = 0; i < files.pieces.size(); ++i)
    if (spiece.types[i] == SentencePieceFile::kControl || spiece.types[i] == SentencePieceFile::kUserDefined)
      defaults.extra.push_back({files.pieces[i].text,
                                files.place,
                                spiece.types[i] == SentencePieceFile::kControl,
                                /*normalized=*/false,
                                {}});
  // Sentinels count down: <extra_id_0> is the last of the vocabulary.
  for (int64_t i = extra_ids; i-- > 0;) files.pieces.push_back({extra_name(i), 0.0});
  files.special = read_special_tokens(source, nullptr, std::move(defaults));
  return files;
}

}  // namespace

T5TokenizerFiles read_t5_tokenizer_files(const std::filesystem::path& folder) {
  std::error_code ec;
  if (!std::filesystem::is_directory(folder, ec))
    throw Error(folder.string(),
                "no such folder; a T5 tokenizer is a folder with tokenizer.json or spiece.model");
  const auto source = tokenizer_folder(folder);
  const auto extra_ids = read_extra_ids(source);
  const auto tokenizer = read_tokenizer_json(source, "tokenizer.json");
  if (tokenizer.is_null()) return read_spiece(source, extra_ids);
  const auto place = (folder / "tokenizer.json").string();
  return {pieces_of(member(tokenizer, "model"), place), charsmap_of(member(tokenizer, "normalizer"), place),
          read_special_tokens(source, tokenizer, t5_defaults(extra_ids, place)), place};
}

}  // namespace thalweg
