// SPDX-License-Identifier: Apache-2.0
// Any bytes as a tokenizer's file or as a text, the first byte says which: tokenizer.json of both kinds, vocab.txt, and a
// text for a fixed vocabulary. Whatever is read turns a text into ids.
#include "models/data/bert_text.h"
#include "models/data/tokenizer_json.h"
#include "models/io/json.h"
#include "tests/fuzz/target.h"

namespace {

namespace models = pollard::models;

constexpr std::string_view kText = "The fox's  l\xc3\xa4zy \xff\xe4\xb8\xad dog [MASK] 12,345";

std::vector<std::string> lines(std::string_view text) {
  std::vector<std::string> out(1);
  for (const char c : text)
    if (c == '\n')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

/// Adds the tokens of the bytes, without which no byte-level vocabulary is one.
nlohmann::json with_bytes(nlohmann::json file) {
  if (!file.is_object() || !file.contains("model") || !file["model"].is_object() ||
      !file["model"].contains("vocab") || !file["model"]["vocab"].is_object())
    return file;
  for (int c = 0; c < 0x144; ++c) {
    const std::string letter =
        c < 0x80 ? std::string(1, static_cast<char>(c))
                 : std::string{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    file["model"]["vocab"].emplace(letter, 1000 + c);
  }
  return file;
}

void read_json(std::string_view text) {
  const auto json = models::io::parse_json(text, "fuzz");
  pollard::fuzz::read_or_refuse([&] {
    const auto tokenizer = models::byte_bpe_from_json(with_bytes(json));
    tokenizer.text(tokenizer.ids(kText));
  });
  const auto file = models::word_piece_from_json(json);
  models::WordPiece(file.vocabulary, file.options).ids(kText);
}

void read_text(std::string_view text) {
  static const models::WordPiece known({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "fox", "##es", "the", "a"});
  for (const std::int64_t id : known.ids(text)) POLLARD_CHECK(id >= 0 && id < 8, "an id of no token");
  for (const bool lowercase : {false, true})
    models::split_bert_words(models::normalise_bert_text(text, lowercase));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = pollard::fuzz::text(data + 1, size - 1);
  return pollard::fuzz::read_or_refuse([&] {
    switch (data[0] % 3) {
      case 0: read_json(text); break;
      case 1: models::WordPiece(lines(text)).ids(kText); break;
      default: read_text(text); break;
    }
  });
}
