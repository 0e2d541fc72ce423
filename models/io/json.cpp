// SPDX-License-Identifier: Apache-2.0
#include "models/io/json.h"

#include <set>
#include <vector>

#include "graph/error.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

[[noreturn]] void reject(const std::string& subject, std::string message, std::size_t offset) {
  throw UserError({.code = "E0326",
                   .exit = Exit::BadFile,
                   .subject = subject,
                   .message = std::move(message),
                   .where = "byte offset " + std::to_string(offset),
                   .help = "compare its SHA-256 with the publisher's, or write it again"});
}

/// Sees every key before it enters the tree.
class KeyCheck {
 public:
  KeyCheck(const std::string& subject, std::size_t limit) : subject_(subject), limit_(limit) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (static_cast<std::size_t>(depth) >= limit_)
        reject(subject_, "JSON nested deeper than " + std::to_string(limit_), 0);
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.back().insert(parsed.get<std::string>()).second)
      reject(subject_, "the JSON key " + in_quotes(parsed.get<std::string>()) + " occurs twice in one object",
             0);
    return true;
  }

 private:
  const std::string& subject_;
  std::size_t limit_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& subject, std::size_t depth) {
  if (const auto at = first_invalid_utf8(text); at != std::string_view::npos)
    reject(subject, "not UTF-8 text", at);
  if (text.starts_with("\xEF\xBB\xBF")) reject(subject, "JSON may not begin with a byte-order mark", 0);
  if (const auto at = text.find('\0'); at != std::string_view::npos)
    reject(subject, "a NUL byte in JSON", at);
  try {
    return nlohmann::json::parse(text.begin(), text.end(), KeyCheck(subject, depth));
  } catch (const nlohmann::json::parse_error& error) {
    reject(subject, "not JSON", error.byte);
  } catch (const nlohmann::json::out_of_range&) {
    reject(subject, "a number in JSON is larger than a 64-bit float can hold", 0);
  }
}

}  // namespace pollard::models::io
