#include "prompt_template.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace remote {
namespace {

using Kind = Piece::Kind;

std::optional<Kind> slot(std::string_view name) {
  if (name == "prompt") return Kind::prompt;
  if (name == "criteria") return Kind::criteria;
  if (name == "image:0") return Kind::image;
  if (name == "reference:0") return Kind::reference;
  return std::nullopt;
}

/// Length of a slot's name, letters and perhaps a colon and digits; 0 where there is none.
size_t name_length(std::string_view text) {
  const auto count = [&](size_t from, auto&& is) {
    size_t n = 0;
    while (from + n < text.size() && is(text[from + n])) ++n;
    return n;
  };
  const auto letters = count(0, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  if (letters == 0 || letters >= text.size() || text[letters] != ':') return letters;
  const auto digits = count(letters + 1, [](char c) { return c >= '0' && c <= '9'; });
  return digits == 0 ? letters : letters + 1 + digits;
}

void add_text(std::vector<Piece>& pieces, std::string_view text) {
  if (text.empty()) return;
  if (pieces.empty() || pieces.back().kind != Kind::text) pieces.emplace_back();
  pieces.back().text += text;
}

}  // namespace

PromptTemplate::PromptTemplate(std::string_view text, const std::string& place) {
  if (!thalweg::is_valid_utf8(text)) throw thalweg::Error(place, "is no UTF-8 text");
  while (!text.empty()) {
    const auto brace = std::min(text.find('{'), text.size());
    add_text(pieces_, text.substr(0, brace));
    text.remove_prefix(brace);
    if (text.empty()) return;
    const bool doubled = text.substr(0, 2) == "{{";
    const auto inner = text.substr(doubled ? 2 : 1);
    const auto length = name_length(inner);
    const auto close = inner.substr(length, doubled ? 2 : 1);
    if (length == 0 || close != (doubled ? "}}" : "}")) {
      add_text(pieces_, text.substr(0, 1));
      text.remove_prefix(1);
      continue;
    }
    const std::string name(inner.substr(0, length));
    if (doubled) {
      add_text(pieces_, "{" + name + "}");
    } else if (const auto kind = slot(name)) {
      pieces_.push_back({*kind, ""});
    } else {
      throw thalweg::Error(place, "has a slot {" + name +
                                      "}, which is not known; known: {prompt}, {criteria}, {image:0}, "
                                      "{reference:0}; write {{" +
                                      name + "}} for the text itself");
    }
    text.remove_prefix(length + (doubled ? 4 : 2));
  }
}

bool PromptTemplate::has(Piece::Kind kind) const {
  return std::any_of(pieces_.begin(), pieces_.end(), [&](const Piece& piece) { return piece.kind == kind; });
}

std::vector<Piece> PromptTemplate::filled(std::string_view prompt, std::string_view criteria) const {
  std::vector<Piece> result;
  for (const auto& piece : pieces_) {
    if (piece.kind == Kind::image || piece.kind == Kind::reference)
      result.push_back(piece);
    else
      add_text(result, piece.kind == Kind::prompt     ? prompt
                       : piece.kind == Kind::criteria ? criteria
                                                      : std::string_view(piece.text));
  }
  return result;
}

}  // namespace remote
