// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/data/byte_bpe.h"
#include "models/data/text_tokens.h"
#include "models/data/tokenizer_json.h"
#include "models/data/wordpiece.h"
#include "tests/models/support/exported_cases.h"
#include "tests/paths.h"

namespace pollard::models {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int64_t>;

const Json& reference(const std::string& name) {
  static const Json all = Json::parse(std::ifstream(test::data_folder() + "/models/data/tokenizers.json"));
  return all.at(name);
}

class Bpe : public testing::TestWithParam<const char*> {};

TEST_P(Bpe, GivesTheIdsAndTextsOfTheReference) {
  const ByteBpe tokenizer = byte_bpe_from_json(reference(GetParam()).at("file"));
  for (const Json& item : reference(GetParam()).at("cases")) {
    const Ids ids = item.at("ids");
    EXPECT_EQ(tokenizer.ids(item.at("text").get<std::string>()), ids) << item.at("text");
    EXPECT_EQ(tokenizer.text(ids), item.at("decoded").get<std::string>()) << item.at("text");
    EXPECT_EQ(tokenizer.text(std::span(ids).first(ids.size() / 2)), item.at("half").get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Bpe, testing::Values("gpt2", "prefixed", "llama3"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Tokenizers, VocabularyAndMergesFilesSayTheSameAsTokenizerJson) {
  const test::TemporaryFolder folder;
  const Json& model = reference("gpt2").at("file").at("model");
  std::ofstream(folder.path() / "vocab.json") << model.at("vocab");
  std::ofstream merges(folder.path() / "merges.txt");
  merges << "#version: 0.2\n";
  for (const Json& pair : model.at("merges"))
    merges << pair.at(0).get<std::string>() << ' ' << pair.at(1).get<std::string>() << '\n';
  merges.close();
  const ByteBpe tokenizer = ByteBpe::from_folder(folder.path());
  for (const Json& item : reference("gpt2").at("cases"))
    EXPECT_EQ(tokenizer.ids(item.at("text").get<std::string>()), item.at("ids").get<Ids>())
        << item.at("text");
}

TEST(Tokenizers, TextsOfAnyTokenizerBecomeRowsWithAMask) {
  for (const char* name : {"gpt2", "wordpiece"}) {
    const test::TemporaryFolder folder;
    std::ofstream(folder.path() / "tokenizer.json") << reference(name).at("file");
    std::ofstream(folder.path() / "tokenizer_config.json") << R"({"model_max_length": 5})";
    std::vector<std::string> texts;
    std::vector<Ids> ids;
    for (const Json& item : reference(name).at("cases")) {
      texts.push_back(item.at("text"));
      ids.push_back(item.at("ids"));
      if (std::string(name) == "gpt2") ids.back().resize(std::min<std::size_t>(5, ids.back().size()));
    }
    const TokenBatch batch = text_tokens(folder.path(), texts);
    ASSERT_EQ(batch.ids.size(0), std::ssize(texts)) << name;
    for (std::size_t row = 0; row < ids.size(); ++row)
      for (std::int64_t k = 0; k < batch.ids.size(1); ++k) {
        const bool token = k < std::ssize(ids[row]);
        const auto at = static_cast<std::int64_t>(row);
        EXPECT_EQ(batch.mask[at][k].item<std::int64_t>(), token ? 1 : 0) << name << ": " << texts[row];
        if (token) {
          EXPECT_EQ(batch.ids[at][k].item<std::int64_t>(), ids[row][static_cast<std::size_t>(k)])
              << texts[row];
        }
      }
  }
}

TEST(Tokenizers, WordPieceIsReadFromTokenizerJson) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "tokenizer.json") << reference("wordpiece").at("file");
  const WordPiece tokenizer = WordPiece::from_folder(folder.path());
  for (const Json& item : reference("wordpiece").at("cases"))
    EXPECT_EQ(tokenizer.ids(item.at("text").get<std::string>()), item.at("ids").get<Ids>())
        << item.at("text");
}

/// A word of a million bytes is merged in about the time it takes to read it.
TEST(Tokenizers, LongWordsTakeNoQuadraticTime) {
  const ByteBpe tokenizer = byte_bpe_from_json(reference("gpt2").at("file"));
  const std::string word(1'000'000, 'e');
  EXPECT_EQ(tokenizer.text(tokenizer.ids(word)), word);
}

std::string refusal(Json file, bool word_piece = false) {
  try {
    if (word_piece)
      word_piece_from_json(file);
    else
      byte_bpe_from_json(file);
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0372");
    return error.parts().message;
  }
  return "accepted";
}

TEST(Tokenizers, WhatWouldChangeIdsInAnUnknownWayIsRefused) {
  const Json good = reference("gpt2").at("file");
  const auto with = [&](const char* pointer, const Json& value) {
    Json file = good;
    file[Json::json_pointer(pointer)] = value;
    return refusal(file);
  };
  EXPECT_EQ(refusal(good), "accepted");
  EXPECT_NE(with("/model/type", "Unigram").find("Unigram"), std::string::npos);
  EXPECT_NE(with("/normalizer", {{"type", "Lowercase"}}).find("Lowercase"), std::string::npos);
  EXPECT_NE(with("/pre_tokenizer", {{"type", "Metaspace"}}).find("Metaspace"), std::string::npos);
  EXPECT_NE(with("/model/byte_fallback", true).find("byte_fallback"), std::string::npos);
  EXPECT_NE(with("/added_tokens/0/lstrip", true).find("lstrip"), std::string::npos);
  EXPECT_NE(with("/post_processor", {{"type", "RobertaProcessing"}}).find("Roberta"), std::string::npos);
}

TEST(Tokenizers, DamagedFilesAreRefused) {
  const Json good = reference("llama3").at("file");
  const auto with = [&](const char* pointer, const Json& value) {
    Json file = good;
    file[Json::json_pointer(pointer)] = value;
    return refusal(file);
  };
  EXPECT_NE(with("/model/vocab", Json::object()), "accepted");
  EXPECT_NE(with("/model/vocab/e", "two"), "accepted");
  EXPECT_NE(with("/model/vocab/e", -1), "accepted");
  EXPECT_NE(with("/model/vocab", 7), "accepted");
  EXPECT_NE(with("/model/merges/0", Json::array({"e", "no such token"})), "accepted");
  EXPECT_NE(with("/model/merges/0", "single"), "accepted");
  EXPECT_NE(with("/pre_tokenizer/pretokenizers/0/pattern/Regex", "(unclosed"), "accepted");
  EXPECT_NE(refusal(Json::object()), "accepted");
  Json words = reference("wordpiece").at("file");
  EXPECT_EQ(refusal(words, true), "accepted");
  words["model"]["vocab"]["far"] = std::int64_t{1} << 40;
  EXPECT_NE(refusal(words, true), "accepted");
  words = reference("wordpiece").at("file");
  words["normalizer"]["strip_accents"] = true;
  EXPECT_NE(refusal(words, true), "accepted");
}

/// A pattern that backtracks without end is stopped.
TEST(Tokenizers, AnEndlessPatternIsStopped) {
  Json file = reference("llama3").at("file");
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(e|e)*(e|e)*(e|e)*!";
  const ByteBpe tokenizer = byte_bpe_from_json(file);
  EXPECT_THROW(tokenizer.ids(std::string(10'000, 'e')), UserError);
}

}  // namespace
}  // namespace pollard::models
