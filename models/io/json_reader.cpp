// SPDX-License-Identifier: Apache-2.0
#include "models/io/json_reader.h"

#include <limits>

#include "graph/error.h"
#include "models/io/json.h"
#include "models/io/text.h"

namespace pollard::models::io {
Json parse_entry(std::string_view text, const std::string& archive, const std::string& entry) {
  return parse_json(text, archive + " (entry " + entry + ")");
}

const Json& JsonReader::member(const Json& object, const char* key) const {
  const auto found = this->object(object).find(key);
  if (found == object.end()) fail(std::string("'") + key + "' is missing");
  return *found;
}

const Json* JsonReader::find(const Json& object, const char* key) const {
  const auto found = this->object(object).find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const std::string& JsonReader::string(const Json& value) const {
  if (!value.is_string()) fail(std::string("expected a string, got ") + value.type_name());
  return value.get_ref<const std::string&>();
}

std::int64_t JsonReader::integer(const Json& value) const {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const bool fits =
      value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > kMax);
  if (!fits) fail(std::string("expected a 64-bit integer, got ") + printable(value.dump(), 40));
  return value.get<std::int64_t>();
}

bool JsonReader::boolean(const Json& value) const {
  if (!value.is_boolean()) fail(std::string("expected true or false, got ") + value.type_name());
  return value.get<bool>();
}

double JsonReader::number(const Json& value) const {
  if (value.is_number()) return value.get<double>();
  if (value == "Infinity") return std::numeric_limits<double>::infinity();
  if (value == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  fail(std::string("expected a number, got ") + value.type_name());
}

const Json& JsonReader::list(const Json& value) const {
  if (!value.is_array()) fail(std::string("expected a list, got ") + value.type_name());
  return value;
}

const Json& JsonReader::object(const Json& value) const {
  if (!value.is_object()) fail(std::string("expected an object, got ") + value.type_name());
  return value;
}

std::pair<const std::string&, const Json&> JsonReader::alternative(const Json& value) const {
  if (object(value).size() != 1)
    fail("expected exactly one alternative, got " + std::to_string(value.size()));
  const auto only = value.begin();
  return {only.key(), only.value()};
}

void JsonReader::fail(std::string message, std::string code) const {
  throw UserError({.code = std::move(code),
                   .exit = Exit::BadFile,
                   .subject = subject_,
                   .message = std::move(message),
                   .where = "entry " + entry_ + (where_.empty() ? "" : ", " + printable(where_)),
                   .help = "export the model again with torch.export.save"});
}

void JsonReader::unsupported(std::string message, std::string help) const {
  throw UserError({.code = "E0411",
                   .exit = Exit::Unsupported,
                   .subject = subject_,
                   .message = std::move(message),
                   .where = "entry " + entry_ + (where_.empty() ? "" : ", " + printable(where_)),
                   .help = std::move(help)});
}

}  // namespace pollard::models::io
