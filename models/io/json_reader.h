// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace pollard::models::io {

using Json = nlohmann::json;

/// parse_json() of one entry of an archive.
Json parse_entry(std::string_view text, const std::string& archive, const std::string& entry);

/// Typed access to a parsed document: every wrong type or missing member is a UserError E0360 that says where.
class JsonReader {
 public:
  JsonReader(std::string subject, std::string entry)
      : subject_(std::move(subject)), entry_(std::move(entry)) {}

  /// What the walk is at ("node 'conv2d'"); part of every message.
  void at(std::string where) { where_ = std::move(where); }
  const std::string& subject() const { return subject_; }

  const Json& member(const Json& object, const char* key) const;
  const Json* find(const Json& object, const char* key) const;  ///< nullptr when absent or null
  const std::string& string(const Json& value) const;
  std::int64_t integer(const Json& value) const;
  bool boolean(const Json& value) const;
  double number(const Json& value) const;  ///< also "Infinity", "-Infinity", "NaN", as torch writes them
  const Json& list(const Json& value) const;
  const Json& object(const Json& value) const;
  /// A union: an object with exactly one member, its name saying which alternative.
  std::pair<const std::string&, const Json&> alternative(const Json& value) const;

  const std::string& string(const Json& object, const char* key) const { return string(member(object, key)); }
  std::int64_t integer(const Json& object, const char* key) const { return integer(member(object, key)); }
  bool boolean(const Json& object, const char* key) const { return boolean(member(object, key)); }

  [[noreturn]] void fail(std::string message, std::string code = "E0360") const;
  /// A construct this version cannot handle: Exit::Unsupported.
  [[noreturn]] void unsupported(std::string message, std::string help) const;

 private:
  std::string subject_, entry_, where_;
};

}  // namespace pollard::models::io
