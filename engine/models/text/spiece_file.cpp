#include "engine/models/text/spiece_file.h"

#include <bit>

#include "engine/core/bytes.h"
#include "engine/core/error.h"
#include "engine/core/json.h"

namespace thalweg {
namespace {

constexpr size_t kMaxBytes = size_t{16} << 20;  // 4 times the longest in use
constexpr uint64_t kUnigramModel = 1;           // the default of trainer_spec.model_type

/// The fields of one message, in the order of the file (https://protobuf.dev/programming-guides/encoding).
class Message {
 public:
  Message(std::string_view bytes, const std::string& place) : rest_(bytes), place_(place) {}

  /// Moves to the next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const auto tag = varint();
    number_ = tag >> 3;
    wire_ = tag & 7;
    bytes_ = {};
    switch (wire_) {
      case 0:
        value_ = varint();
        break;
      case 1:
        bytes_ = take(8);
        break;
      case 2:
        bytes_ = take(varint());
        break;
      case 5:
        bytes_ = take(4);
        break;
      default:
        fail();
    }
    return true;
  }

  uint64_t number() const { return number_; }

  uint64_t integer() const { return expect(0), value_; }
  std::string_view bytes() const { return expect(2), bytes_; }
  Message message() const { return {bytes(), place_}; }
  float number32() const {
    expect(5);
    return std::bit_cast<float>(little_endian<uint32_t>(bytes_));
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(place_, "is not a SentencePiece model, or is damaged; fetch the file again");
  }

  void expect(uint64_t wire) const {
    if (wire_ != wire) fail();
  }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) fail();
    const auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }

  std::string_view rest_, bytes_;
  const std::string& place_;
  uint64_t number_ = 0, wire_ = 0, value_ = 0;
};

void read_piece(Message piece, SentencePieceFile& file) {
  UnigramPiece read;
  uint64_t type = SentencePieceFile::kNormal;
  while (piece.next()) {
    if (piece.number() == 1) read.text = piece.bytes();
    if (piece.number() == 2) read.score = static_cast<double>(piece.number32());
    if (piece.number() == 3) type = piece.integer();
  }
  file.pieces.push_back(std::move(read));
  file.types.push_back(type);
}

}  // namespace

SentencePieceFile read_spiece_file(const std::filesystem::path& path) {
  const auto bytes = read_file(path, kMaxBytes);
  const auto place = path.string();
  SentencePieceFile file;
  uint64_t model_type = kUnigramModel;
  Message model(bytes, place);
  while (model.next()) {
    if (model.number() == 1) {
      read_piece(model.message(), file);
    } else if (model.number() == 2) {  // trainer_spec
      for (auto trainer = model.message(); trainer.next();)
        if (trainer.number() == 3) model_type = trainer.integer();
    } else if (model.number() == 3) {  // normalizer_spec
      for (auto normalizer = model.message(); normalizer.next();)
        if (normalizer.number() == 2) file.charsmap = normalizer.bytes();
    }
  }
  if (file.pieces.empty()) throw Error(place, "holds no pieces: it is not a SentencePiece model");
  if (model_type != kUnigramModel) throw Error(place, "is not a unigram model, which T5's tokenizer is");
  return file;
}

}  // namespace thalweg
