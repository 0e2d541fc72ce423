// SPDX-License-Identifier: Apache-2.0
#include "models/io/safetensors_json.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "graph/error.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

constexpr std::size_t kDeepest = 8;
constexpr std::size_t kMostTensors = 1'000'000;
constexpr std::size_t kLongestList = 1024;  // the rank limit proper is checked, and explained, later

/// Counts the characters the parser has taken, so that callbacks know where they are.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  const char& operator*() const { return *at_; }
  CountingIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

/// The states are the places a value may stand in: see on_key() and the starts and ends below.
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(const std::string& subject, const char* text, std::uint64_t start, bool lenient)
      : reached(text), subject_(subject), text_(text), start_(start), lenient_(lenient) {}

  const char* reached;  ///< just after the last character the parser took
  RawHeader header;

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool number_integer(number_integer_t) override { return scalar("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return scalar("a fraction or a number above 2^64");
  }
  bool binary(binary_t&) override { return scalar("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::Shape)
      numbers(current_.shape, value, kLongestList);
    else if (place_ == Place::Offsets)
      numbers(current_.offsets, value, 2);
    else
      return scalar("a number");
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::Metadata)
      header.metadata[key_] = std::move(value);
    else if (place_ == Place::Field && key_ == "dtype")
      current_.dtype = std::move(value);
    else
      return scalar("a string");
    return true;
  }

  bool start_object(std::size_t) override {
    if (descend()) return true;
    if (place_ == Place::Start) {
      place_ = Place::Top;
    } else if (place_ == Place::Top && key_ == "__metadata__") {
      place_ = Place::Metadata;
    } else if (place_ == Place::Top) {
      place_ = Place::Field;
      current_ = {.name = key_, .position = key_position_};
      fields_.clear();
    } else {
      scalar("an object");
    }
    return true;
  }

  bool end_object() override {
    if (ascend()) return true;
    if (place_ == Place::Field) {
      for (const char* field : {"dtype", "shape", "data_offsets"})
        if (!fields_.contains(field)) entry_error("lacks " + in_quotes(field));
      if (header.tensors.size() == kMostTensors)
        entry_error("is one of more than " + std::to_string(kMostTensors));
      header.tensors.push_back(std::move(current_));
    }
    place_ = place_ == Place::Top ? Place::End : Place::Top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (descend()) return true;
    if (place_ == Place::Field && key_ == "shape")
      place_ = Place::Shape;
    else if (place_ == Place::Field && key_ == "data_offsets")
      place_ = Place::Offsets;
    else
      scalar("a list");
    return true;
  }

  bool end_array() override {
    if (ascend()) return true;
    if (place_ == Place::Offsets && current_.offsets.size() != 2)
      entry_error("has " + std::to_string(current_.offsets.size()) + " data_offsets; 2 were expected");
    place_ = Place::Field;
    return true;
  }

  bool key(string_t& value) override {
    if (skipped_ > 0) return true;
    key_position_ = position() - value.size() - 2;
    key_ = value;
    if (place_ == Place::Top) unique(names_, "tensor name");
    if (place_ == Place::Metadata) unique(metadata_keys_, "metadata key");
    if (place_ == Place::Field) {
      unique(fields_, "field");
      const bool known = value == "dtype" || value == "shape" || value == "data_offsets";
      if (!known && !lenient_)
        entry_error("has the unknown field " + in_quotes(value) + " (--lenient ignores it)");
    }
    return true;
  }

  bool parse_error(std::size_t byte, const std::string& token,
                   const nlohmann::json::exception& error) override {
    const std::uint64_t offset = start_ + (byte == 0 ? 0 : byte - 1);
    if (std::string_view(error.what()).find("UTF-8") != std::string_view::npos)
      reject("E0311", "the header is not UTF-8 text", offset);
    constexpr std::size_t kShown = 40;
    reject("E0311",
           "the header is not JSON, at " +
               in_quotes(token.substr(token.size() - std::min(token.size(), kShown))),
           offset);
  }

 private:
  enum class Place { Start, Top, Metadata, Field, Shape, Offsets, End };

  std::uint64_t position() const { return start_ + static_cast<std::uint64_t>(reached - text_); }

  [[noreturn]] void reject(std::string code, std::string message, std::uint64_t offset) const {
    throw UserError({.code = std::move(code),
                     .exit = Exit::BadFile,
                     .subject = subject_,
                     .message = std::move(message),
                     .where = "byte offset " + std::to_string(offset),
                     .help = "compare its SHA-256 with the publisher's, or download it again"});
  }
  [[noreturn]] void entry_error(const std::string& what) const {
    reject("E0312", "the entry of tensor " + in_quotes(current_.name) + " " + what, position());
  }

  /// A value that may not stand where it does; `true` when it is inside a field that is being ignored.
  bool scalar(const char* what) const {
    if (skipped_ > 0 || ignoring()) return true;
    const std::string where = place_ == Place::Start ? "the whole header" : in_quotes(key_);
    reject("E0311", std::string(what) + " where " + where + " has another type of value", position());
  }

  bool ignoring() const {
    return lenient_ && place_ == Place::Field && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets";
  }

  /// Counts nesting; true inside an ignored field.
  bool descend() {
    if (++depth_ > kDeepest)
      reject("E0311", "JSON nested deeper than " + std::to_string(kDeepest), position());
    if (skipped_ == 0 && !ignoring()) return false;
    ++skipped_;
    return true;
  }
  bool ascend() {
    --depth_;
    if (skipped_ == 0) return false;
    --skipped_;
    return true;
  }

  void numbers(std::vector<std::uint64_t>& list, std::uint64_t value, std::size_t most) const {
    if (list.size() == most)
      entry_error("has more than " + std::to_string(most) + " numbers in " + in_quotes(key_));
    list.push_back(value);
  }

  using Seen = std::unordered_map<std::string, std::uint64_t>;
  void unique(Seen& seen, const char* what) const {
    const auto [before, inserted] = seen.emplace(key_, key_position_);
    if (!inserted)
      reject("E0312",
             std::string(what) + " " + in_quotes(key_) + " occurs twice, at bytes " +
                 std::to_string(before->second) + " and " + std::to_string(key_position_),
             key_position_);
  }

  const std::string& subject_;
  const char* text_;
  std::uint64_t start_;
  bool lenient_;
  Place place_ = Place::Start;
  std::size_t depth_ = 0;
  std::size_t skipped_ = 0;  ///< nesting inside an ignored field
  std::string key_;
  std::uint64_t key_position_ = 0;
  RawTensor current_;
  Seen names_, metadata_keys_, fields_;
};

}  // namespace

RawHeader parse_safetensors_json(std::string_view json, const std::string& subject, std::uint64_t start,
                                 bool lenient) {
  HeaderHandler handler(subject, json.data(), start, lenient);
  const CountingIterator begin(json.data(), &handler.reached);
  const CountingIterator end(json.data() + json.size(), &handler.reached);
  nlohmann::json::sax_parse(begin, end, &handler);
  return std::move(handler.header);
}

}  // namespace pollard::models::io
