// SPDX-License-Identifier: Apache-2.0
#include "models/data/tokenizer_json.h"

#include <algorithm>

#include "models/io/file.h"
#include "models/io/json.h"
#include "models/io/text.h"

namespace pollard::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::int64_t kLargestVocabulary = 1 << 22;

std::string read_text(const fs::path& path) {
  const auto bytes = io::read_file(path, std::uint64_t{64} << 20);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// "" for null.
std::string type_of(const Json& part) { return part.is_null() ? "" : part.at("type").get<std::string>(); }

const Json& field(const Json& object, const char* name) {
  static const Json none;
  const auto found = object.find(name);
  return found == object.end() ? none : *found;
}

bool flag(const Json& object, const char* name, bool fallback) {
  const Json& value = field(object, name);
  return value.is_null() ? fallback : value.get<bool>();
}

[[noreturn]] void unknown(const char* what, const std::string& type) {
  throw tokenizer_error(std::string("its ") + what + " " + io::in_quotes(type) + " is not known");
}

/// Calls use(part) for the parts of a Sequence, or for the one part there is.
template <class Use>
void each_part(const Json& part, const char* list, Use use) {
  if (type_of(part) != "Sequence") return use(part);
  for (const Json& inner : part.at(list)) use(inner);
}

void read_normalizer(const Json& part, ByteBpeOptions& options) {
  each_part(part, "normalizers", [&](const Json& one) {
    const std::string type = type_of(one);
    if (type == "NFC")
      options.compose = true;
    else if (!type.empty())
      unknown("normalizer", type);
  });
}

std::string quoted_pattern(const std::string& text) { return "\\Q" + text + "\\E"; }

/// Splits come before the one that turns characters into bytes.
void read_pre_tokenizer(const Json& part, ByteBpeOptions& options) {
  bool bytes = false, own_pattern = false;
  each_part(part, "pretokenizers", [&](const Json& one) {
    const std::string type = type_of(one);
    if (type == "ByteLevel" && !bytes) {
      bytes = true;
      own_pattern = flag(one, "use_regex", true);
      options.add_prefix_space = flag(one, "add_prefix_space", true);
    } else if (type == "Split" && !bytes && one.at("behavior") == "Isolated" && !flag(one, "invert", false)) {
      const Json& pattern = one.at("pattern");
      options.patterns.push_back(pattern.contains("Regex")
                                     ? pattern.at("Regex").get<std::string>()
                                     : quoted_pattern(pattern.at("String").get<std::string>()));
    } else {
      unknown("pre_tokenizer", type);
    }
  });
  if (!bytes) throw tokenizer_error("it does not work on bytes");
  if (options.add_prefix_space && !options.patterns.empty())
    throw tokenizer_error("add_prefix_space after a Split is not known");
  if (own_pattern && !options.patterns.empty()) options.patterns.emplace_back();  // GPT-2's after the others
}

/// The ids around the text A of a template.
void read_template(const Json& part, ByteBpeOptions& options) {
  bool after = false;
  for (const Json& piece : part.at("single")) {
    if (piece.contains("Sequence")) {
      after = true;
      continue;
    }
    const std::string name = piece.at("SpecialToken").at("id");
    const auto ids = part.at("special_tokens").at(name).at("ids").get<std::vector<std::int64_t>>();
    auto& side = after ? options.after : options.before;
    side.insert(side.end(), ids.begin(), ids.end());
  }
}

void read_post_processor(const Json& part, ByteBpeOptions& options) {
  each_part(part, "processors", [&](const Json& one) {
    const std::string type = type_of(one);
    if (type == "TemplateProcessing")
      read_template(one, options);
    else if (!type.empty() && type != "ByteLevel")  // which only moves offsets
      unknown("post_processor", type);
  });
}

void read_added(const Json& list, ByteBpeOptions& options) {
  if (list.is_null()) return;
  for (const Json& token : list) {
    for (const char* name : {"lstrip", "rstrip", "single_word"})
      if (flag(token, name, false)) unknown("added token's option", name);
    options.added.push_back({token.at("content"), token.at("id"), flag(token, "special", false)});
  }
}

/// "a b" or ["a", "b"].
std::pair<std::string, std::string> read_merge(const Json& merge) {
  if (merge.is_array()) return {merge.at(0), merge.at(1)};
  const std::string text = merge;
  const std::size_t blank = text.find(' ');
  if (blank == std::string::npos) throw tokenizer_error("a merge names one token");
  return {text.substr(0, blank), text.substr(blank + 1)};
}

ByteBpe::Vocabulary read_vocabulary(const Json& object) {
  ByteBpe::Vocabulary out;
  for (const auto& [token, id] : object.items())
    out.emplace(from_printable_bytes(token), id.get<std::int64_t>());
  return out;
}

void check_model(const Json& model) {
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (const Json& value = field(model, name); !value.is_null() && value != "")
      unknown("model's option", name);
  for (const char* name : {"byte_fallback", "fuse_unk"})
    if (flag(model, name, false)) unknown("model's option", name);
}

/// Runs `read`; what is missing or of another type in the file is the file's fault.
template <class Read>
auto guarded(Read read) {
  try {
    return read();
  } catch (const Json::exception& error) {
    throw tokenizer_error(std::string("a part is missing or of another type: ") + error.what());
  }
}

}  // namespace

UserError tokenizer_error(const std::string& message) {
  return UserError(
      {.code = "E0372",
       .exit = Exit::BadFile,
       .subject = "tokenizer",
       .message = io::printable(message),
       .where = {},
       .why = {},
       .help = "use the tokenizer.json that belongs to the model, or turn the text into ids elsewhere"});
}

nlohmann::json read_tokenizer_file(const fs::path& path) {
  return io::parse_json(read_text(path), path.filename().string());
}

ByteBpe byte_bpe_from_json(const Json& file) {
  return guarded([&] {
    const Json& model = file.at("model");
    if (type_of(model) != "BPE") unknown("model", type_of(model));
    check_model(model);
    ByteBpeOptions options{.whole_words_first = flag(model, "ignore_merges", false)};
    read_normalizer(field(file, "normalizer"), options);
    read_pre_tokenizer(file.at("pre_tokenizer"), options);
    read_post_processor(field(file, "post_processor"), options);
    read_added(field(file, "added_tokens"), options);
    ByteBpe::Merges merges;
    for (const Json& merge : model.at("merges")) {
      const auto [left, right] = read_merge(merge);
      merges.emplace_back(from_printable_bytes(left), from_printable_bytes(right));
    }
    return ByteBpe(read_vocabulary(model.at("vocab")), merges, std::move(options));
  });
}

/// The two files of GPT-2: ids by token, and a pair a line after the line with the version.
ByteBpe ByteBpe::from_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder / "tokenizer.json", error))
    return byte_bpe_from_json(read_tokenizer_file(folder / "tokenizer.json"));
  const Json object = read_tokenizer_file(folder / "vocab.json");
  const std::string text = read_text(folder / "merges.txt");
  return guarded([&] {
    Merges merges;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      std::string line = text.substr(begin, end - begin);
      if (line.ends_with('\r')) line.pop_back();
      begin = end + 1;
      if (line.empty() || line.starts_with("#version")) continue;
      const auto [left, right] = read_merge(line);
      merges.emplace_back(from_printable_bytes(left), from_printable_bytes(right));
    }
    ByteBpeOptions options;
    if (const auto end = object.find("<|endoftext|>"); end != object.end())
      options.added.push_back({"<|endoftext|>", *end});
    return ByteBpe(read_vocabulary(object), merges, std::move(options));
  });
}

WordPieceFile word_piece_from_json(const Json& file) {
  return guarded([&] {
    const Json& model = file.at("model");
    if (type_of(model) != "WordPiece") unknown("model", type_of(model));
    if (const Json& prefix = field(model, "continuing_subword_prefix"); !prefix.is_null() && prefix != "##")
      unknown("model's option", "continuing_subword_prefix");
    WordPieceFile out;
    for (const auto& [token, id] : model.at("vocab").items()) {
      const std::int64_t at = id;
      if (at < 0 || at >= kLargestVocabulary) throw tokenizer_error("an id is out of range");
      out.vocabulary.resize(std::max(out.vocabulary.size(), static_cast<std::size_t>(at) + 1));
      out.vocabulary[static_cast<std::size_t>(at)] = token;
    }
    const Json& normalizer = file.at("normalizer");
    if (type_of(normalizer) != "BertNormalizer") unknown("normalizer", type_of(normalizer));
    out.options.lowercase = flag(normalizer, "lowercase", true);
    const bool plain = flag(normalizer, "strip_accents", out.options.lowercase) == out.options.lowercase &&
                       flag(normalizer, "clean_text", true) && flag(normalizer, "handle_chinese_chars", true);
    if (!plain) unknown("normalizer", "BertNormalizer with other options");
    if (type_of(file.at("pre_tokenizer")) != "BertPreTokenizer")
      unknown("pre_tokenizer", type_of(file.at("pre_tokenizer")));
    if (const Json& longest = field(model, "max_input_chars_per_word"); !longest.is_null())
      out.options.max_word_chars = longest;
    if (const Json& truncation = field(file, "truncation"); !truncation.is_null())
      out.options.max_length = truncation.at("max_length");
    return out;
  });
}

}  // namespace pollard::models
