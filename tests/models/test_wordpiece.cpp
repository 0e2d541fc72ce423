// SPDX-License-Identifier: Apache-2.0
#include "models/data/wordpiece.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/data/bert_text.h"
#include "tests/paths.h"

namespace pollard::models {
namespace {

using Ids = std::vector<std::int64_t>;

nlohmann::json reference() {
  std::ifstream file(test::data_folder() + "/models/data/wordpiece.json");
  return nlohmann::json::parse(file);
}

Ids to_vector(const at::Tensor& row) {
  return {row.const_data_ptr<std::int64_t>(), row.const_data_ptr<std::int64_t>() + row.numel()};
}

TEST(WordPiece, GivesTheIdsOfTheReferenceTokenizer) {
  const auto json = reference();
  const WordPiece tokenizer(json.at("vocabulary").get<std::vector<std::string>>());
  for (const auto& item : json.at("cases")) {
    const std::string text = item.at("text");
    Ids expected = item.at("ids");
    expected.insert(expected.begin(), tokenizer.ids("").front());
    expected.push_back(tokenizer.ids("").back());
    EXPECT_EQ(tokenizer.ids(text), expected) << item.at("text").dump();
  }
}

TEST(WordPiece, SplitsWordsAsTheReferenceDoes) {
  for (const auto& item : reference().at("cases"))
    EXPECT_EQ(split_bert_words(normalise_bert_text(item.at("text").get<std::string>(), true)),
              item.at("words").get<std::vector<std::string>>())
        << item.at("text").dump();
}

const std::vector<std::string> kSmall{"[PAD]", "[UNK]",  "[CLS]", "[SEP]", "un",
                                      "##aff", "##able", "able",  ",",     "A"};

TEST(WordPiece, TakesTheLongestPieceFirst) {
  EXPECT_EQ(WordPiece(kSmall).ids("unaffable, able"), (Ids{2, 4, 5, 6, 8, 7, 3}));
}

TEST(WordPiece, AWordWithAnUnknownRestIsUnknown) {
  EXPECT_EQ(WordPiece(kSmall).ids("unable unx"), (Ids{2, 4, 6, 1, 3}));
}

TEST(WordPiece, CutsLongTextsBeforeTheFinalSeparator) {
  EXPECT_EQ(WordPiece(kSmall, {.max_length = 4}).ids("able able able able"), (Ids{2, 7, 7, 3}));
}

TEST(WordPiece, CasedVocabulariesKeepCaseAndAccents) {
  EXPECT_EQ(WordPiece(kSmall, {.lowercase = false}).ids("A a"), (Ids{2, 9, 1, 3}));
  EXPECT_EQ(normalise_bert_text("\xC3\x89", false), "\xC3\x89");
}

TEST(WordPiece, PadsABatchToItsLongestText) {
  const std::vector<std::string> texts{"able", "unaffable"};
  const TokenBatch batch = WordPiece(kSmall).batch(texts);
  EXPECT_EQ(to_vector(batch.ids), (Ids{2, 7, 3, 0, 0, 2, 4, 5, 6, 3}));
  EXPECT_EQ(to_vector(batch.mask), (Ids{1, 1, 1, 0, 0, 1, 1, 1, 1, 1}));
}

TEST(WordPiece, MalformedBytesVanish) {
  EXPECT_EQ(WordPiece(kSmall).ids("a\xFF"
                                  "ble\xC3"),
            (Ids{2, 7, 3}));
  EXPECT_EQ(normalise_bert_text(std::string("a\0b", 3), true), "ab");
}

TEST(WordPiece, ReadsAFolderOfACheckpoint) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "wordpiece";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "vocab.txt") << "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nable\r\n";
  std::ofstream(folder / "sentence_bert_config.json") << R"({"max_seq_length": 3})";
  const WordPiece tokenizer = WordPiece::from_folder(folder);
  EXPECT_EQ(tokenizer.max_length(), 3);
  EXPECT_EQ(tokenizer.ids("ABLE able"), (Ids{2, 4, 3}));
  std::ofstream(folder / "tokenizer_config.json") << R"({"do_lower_case": false})";
  EXPECT_EQ(WordPiece::from_folder(folder).ids("ABLE"), (Ids{2, 1, 3}));
  std::filesystem::remove_all(folder);
}

TEST(WordPiece, RefusesAVocabularyOfAnotherKind) {
  EXPECT_THROW(WordPiece({"hello", "world"}), UserError);
  EXPECT_THROW(WordPiece::from_folder("/nonexistent"), UserError);
}

}  // namespace
}  // namespace pollard::models
