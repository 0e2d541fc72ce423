// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/prompts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/io/file.h"
#include "models/io/json.h"
#include "models/io/text.h"

namespace pollard::pruning::fairness {
namespace {

// Ordered, so that axes and subgroups stay as the file has them; parse_json has refused what is malformed.
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostPrompts = 1'000'000, kLongestPrompt = 1 << 16;

class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  PromptSet read(const Json& root) {
    expect(root.is_object(), "the file", "an object with \"axes\"");
    PromptSet out;
    if (root.contains("attributes")) {
      const Json& attributes = object(root.at("attributes"), "\"attributes\"");
      out.negative = texts(member(attributes, "negative"), "\"negative\"");
      out.positive = texts(member(attributes, "positive"), "\"positive\"");
    }
    for (const auto& [name, groups] : object(member(root, "axes"), "\"axes\"").items())
      out.axes.push_back(axis(name, groups));
    expect(!out.axes.empty(), "\"axes\"", "at least one axis");
    if (root.contains("pairs")) read_pairs(object(root.at("pairs"), "\"pairs\""), out);
    out.licence = remark(root, "licence");
    out.note = remark(root, "note");
    return out;
  }

 private:
  [[noreturn]] void fail(const std::string& where, const std::string& wanted) const {
    throw UserError({.code = "E0392",
                     .exit = Exit::BadFile,
                     .subject = file_,
                     .message = where + " is not " + wanted,
                     .where = {},
                     .why = {},
                     .help = "docs/fairness.md describes prompt files"});
  }
  void expect(bool holds, const std::string& where, const std::string& wanted) const {
    if (!holds) fail(where, wanted);
  }
  const Json& object(const Json& value, const std::string& where) const {
    expect(value.is_object(), where, "an object");
    return value;
  }
  const Json& member(const Json& value, const char* name) const {
    expect(value.contains(name), std::string("\"") + name + "\"", "there");
    return value.at(name);
  }
  static std::string remark(const Json& root, const char* name) {
    const auto found = root.find(name);
    return found != root.end() && found->is_string() ? found->get<std::string>() : std::string();
  }

  Text text(const Json& value, const std::string& where) {
    expect(++prompts_ <= kMostPrompts, where, "within the first 1,000,000 prompts");
    const bool words = value.is_string();
    expect(words || value.is_array(), where, "a text or a list of token ids");
    expect(!value.empty() && (!words || !value.get_ref<const std::string&>().empty()), where,
           "at least one character or token");
    expect((words ? value.get_ref<const std::string&>().size() : value.size()) <= kLongestPrompt, where,
           "at most 65,536 characters or tokens");
    if (words) return value.get<std::string>();
    std::vector<std::int64_t> ids;
    for (const Json& id : value) {
      expect(id.is_number_unsigned() && id.get<std::uint64_t>() < (1ULL << 31), where,
             "a list of token ids (whole numbers from 0)");
      ids.push_back(id.get<std::int64_t>());
    }
    return ids;
  }

  std::vector<Text> texts(const Json& value, const std::string& where) {
    expect(value.is_array() && !value.empty(), where, "a list with at least one text");
    std::vector<Text> out;
    for (const Json& item : value) out.push_back(text(item, "an entry of " + where));
    return out;
  }

  PromptAxis axis(const std::string& name, const Json& groups) {
    const std::string where = "axis " + models::io::in_quotes(name);
    PromptAxis out{.name = name, .subgroups = {}, .pairs = {}};
    for (const auto& [group, prompts] : object(groups, where).items())
      out.subgroups.push_back({group, texts(prompts, where + ", subgroup " + models::io::in_quotes(group))});
    expect(out.subgroups.size() >= 2, where, "an object with at least two subgroups");
    return out;
  }

  void read_pairs(const Json& pairs, PromptSet& out) {
    for (const auto& [name, list] : pairs.items()) {
      const std::string where = "the pairs of " + models::io::in_quotes(name);
      const auto axis = std::ranges::find(out.axes, name, &PromptAxis::name);
      expect(axis != out.axes.end(), where, "for an axis of the file");
      expect(list.is_array(), where, "a list of pairs");
      for (const Json& pair : list) {
        expect(pair.is_array() && pair.size() == 2, where, "a list of two texts each");
        axis->pairs.push_back({text(pair[0], where), text(pair[1], where)});
      }
    }
  }

  std::string file_;
  std::size_t prompts_ = 0;
};

}  // namespace

const PromptAxis& PromptSet::axis(std::string_view name) const {
  const auto found = std::ranges::find(axes, name, &PromptAxis::name);
  if (found != axes.end()) return *found;
  std::vector<std::string> known;
  for (const PromptAxis& a : axes) known.push_back(models::io::printable(a.name));
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--axis",
                   .message = "the prompts have no axis " + models::io::in_quotes(name),
                   .where = {},
                   .why = {},
                   .help = "one of " + models::io::join_or(known)});
}

PromptSet parse_prompts(std::string_view json, const std::string& name) {
  models::io::parse_json(json, name, 8);  // refuses what is malformed, too deep or named twice
  return Reader(name).read(Json::parse(json));
}

PromptSet read_prompts(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = models::io::read_file(path, 64ULL << 20);
  return parse_prompts({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

}  // namespace pollard::pruning::fairness
