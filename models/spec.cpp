// SPDX-License-Identifier: Apache-2.0
#include "models/spec.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "graph/error.h"

namespace pollard::models {
namespace {

using Json = nlohmann::json;

[[noreturn]] void refuse(std::string_view field, const std::string& message) {
  throw UserError({.code = "E0414",
                   .exit = Exit::Unsupported,
                   .subject = std::string(field),
                   .message = message,
                   .where = "model specification",
                   .why = {},
                   .help = "pollard models FAMILY prints the specification of every published size"});
}

/// 3.0 is a whole number too: some configurations write ratios so.
bool is_whole(const Json& value) {
  if (!value.is_number_float()) return value.is_number_integer();
  const auto number = value.get<double>();
  return std::abs(number) < 1e15 && std::trunc(number) == number;
}

std::int64_t checked(std::string_view name, const Json& value, Range range) {
  if (!is_whole(value)) refuse(name, "is " + value.dump() + ", expected a whole number");
  const bool too_large =
      value.is_number_unsigned() &&
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const std::int64_t number =
      too_large ? std::numeric_limits<std::int64_t>::max() : value.get<std::int64_t>();
  if (number < range.low || number > range.high)
    refuse(name, "is " + value.dump() + ", expected " + std::to_string(range.low) + " to " +
                     std::to_string(range.high));
  return number;
}

constexpr std::size_t kLongestList = 4096;

std::vector<std::int64_t> checked_list(std::string_view name, const Json& list, Range each,
                                       std::size_t longest) {
  if (!list.is_array()) refuse(name, "is " + list.dump() + ", expected a list of whole numbers");
  if (list.size() > longest)
    refuse(name,
           "has " + std::to_string(list.size()) + " entries, expected at most " + std::to_string(longest));
  std::vector<std::int64_t> out;
  for (const Json& item : list) out.push_back(checked(name, item, each));
  return out;
}

class Reader : public Fields {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  void integer(std::string_view name, std::int64_t& value, Range range) override {
    if (const Json* found = find(name)) value = checked(name, *found, range);
  }
  void integers(std::string_view name, std::vector<std::int64_t>& value, Range each,
                std::size_t longest) override {
    if (const Json* found = find(name)) value = checked_list(name, *found, each, longest);
  }
  void integer_lists(std::string_view name, std::vector<std::vector<std::int64_t>>& value,
                     Range each) override {
    const Json* found = find(name);
    if (!found) return;
    if (!found->is_array() || found->size() > kLongestList)
      refuse(name, "is no list of lists of whole numbers");
    value.clear();
    for (const Json& item : *found) value.push_back(checked_list(name, item, each, kLongestList));
  }
  void real(std::string_view name, double& value) override {
    const Json* found = find(name);
    if (!found) return;
    if (!found->is_number()) refuse(name, "is " + found->dump() + ", expected a number");
    value = found->get<double>();
  }
  void flag(std::string_view name, bool& value) override {
    const Json* found = find(name);
    if (!found) return;
    if (!found->is_boolean()) refuse(name, "is " + found->dump() + ", expected true or false");
    value = found->get<bool>();
  }
  void text(std::string_view name, std::string& value,
            const std::vector<std::string_view>& choices) override {
    const Json* found = find(name);
    if (!found) return;
    if (!found->is_string()) refuse(name, "is " + found->dump() + ", expected a text");
    const auto& given = found->get_ref<const std::string&>();
    if (!choices.empty() && std::find(choices.begin(), choices.end(), given) == choices.end()) {
      std::string known;
      for (std::string_view choice : choices) known += (known.empty() ? "" : ", ") + std::string(choice);
      refuse(name, "is " + found->dump() + ", known are " + known);
    }
    value = given;
  }
  void texts(std::string_view name, std::vector<std::string>& value) override {
    const Json* found = find(name);
    if (!found) return;
    if (!found->is_array()) refuse(name, "is " + found->dump() + ", expected a list of texts");
    value.clear();
    for (const Json& item : *found) {
      if (!item.is_string()) refuse(name, "holds " + item.dump() + ", expected texts");
      value.push_back(item.get<std::string>());
    }
  }
  void require(bool condition, std::string_view what) override {
    if (!condition) refuse("", "must hold: " + std::string(what));
  }

 private:
  const Json* find(std::string_view name) const {
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  const Json& json_;
};

class Writer : public Fields {
 public:
  void integer(std::string_view name, std::int64_t& value, Range) override {
    json[std::string(name)] = value;
  }
  void integers(std::string_view name, std::vector<std::int64_t>& value, Range, std::size_t) override {
    json[std::string(name)] = value;
  }
  void integer_lists(std::string_view name, std::vector<std::vector<std::int64_t>>& value, Range) override {
    json[std::string(name)] = value;
  }
  void real(std::string_view name, double& value) override { json[std::string(name)] = value; }
  void flag(std::string_view name, bool& value) override { json[std::string(name)] = value; }
  void text(std::string_view name, std::string& value, const std::vector<std::string_view>&) override {
    json[std::string(name)] = value;
  }
  void texts(std::string_view name, std::vector<std::string>& value) override {
    json[std::string(name)] = value;
  }
  void require(bool, std::string_view) override {}

  Json json = Json::object();
};

}  // namespace

namespace detail {

void read(AnySpec& spec, std::string_view text) {
  const Json json = text.empty() ? Json::object() : Json::parse(text, nullptr, false);
  if (!json.is_object()) refuse("", "is not a JSON object");
  Reader reader(json);
  spec.fields(reader);
}

std::string write(AnySpec& spec) {
  Writer writer;
  spec.fields(writer);
  return writer.json.dump();
}

}  // namespace detail
}  // namespace pollard::models
