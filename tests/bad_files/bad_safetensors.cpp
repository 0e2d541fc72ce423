// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "tests/bad_files/builders.h"
#include "tests/bad_files/make_bad_files.h"

namespace pollard::bad_files {
namespace {

using namespace std::string_literals;

/// One entry: `"name":{"dtype":"F32","shape":[...],"data_offsets":[...]}`.
std::string entry(const std::string& name, const std::string& shape, const std::string& offsets,
                  const std::string& dtype = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
         offsets + "]}";
}

BadFile bad(int row, std::string name, std::string bytes, std::string code, std::vector<std::string> says) {
  return {.row = row,
          .name = std::move(name) + ".safetensors",
          .bytes = std::move(bytes),
          .code = std::move(code),
          .says = std::move(says)};
}

std::vector<BadFile> bad_lengths() {
  return {
      bad(3, "length_zero", little(0, 8) + "{}", "E0310", {"header of 0 bytes", "byte offset 0"}),
      bad(3, "length_2_to_63", little(1ULL << 63U, 8) + "{}", "E0310", {"at most 100000000"}),
      bad(3, "length_over_limit", little(100'000'001, 8) + "{}", "E0310", {"100000001", "at most 100000000"}),
      bad(3, "length_past_end", little(1000, 8) + "{}      ", "E0310",
          {"passes the end", "incomplete download?"}),
  };
}

std::vector<BadFile> bad_texts() {
  return {
      bad(4, "not_utf8", safetensors("{\"a\xff\xfe\":1}            "), "E0311",
          {"not UTF-8", "byte offset 11"}),
      bad(4, "byte_order_mark", safetensors("\xEF\xBB\xBF{}"), "E0311", {"byte-order mark", "byte offset 8"}),
      bad(4, "not_json", safetensors("{\"a\" 1}"), "E0311", {"not JSON", "byte offset 13"}),
      bad(4, "array_at_top", safetensors("[1, 2]"), "E0311", {"does not begin with '{'", "byte offset 8"}),
      bad(4, "leading_space", safetensors(" {}"), "E0311", {"does not begin with '{'"}),
      bad(4, "nul_padding", safetensors("{}\0\0\0\0\0\0"s), "E0311", {"padded", "byte offset 10"}),
      bad(4, "newline_padding", safetensors("{}\n\n"), "E0311", {"padded"}),
      bad(4, "text_after_object", safetensors("{} {}"), "E0311", {"not JSON"}),
      bad(4, "lone_surrogate", safetensors("{\"\\ud800\":{}}"), "E0311", {"not JSON"}),
      bad(4, "null_metadata", safetensors("{\"__metadata__\":null}"), "E0311", {"null", "__metadata__"}),
      bad(4, "number_in_metadata", safetensors("{\"__metadata__\":{\"a\":1}}"), "E0311",
          {"a number", "\"a\""}),
      bad(4, "tensor_is_number", safetensors("{\"a\":3}"), "E0311", {"a number", "\"a\""}),
      bad(4, "shape_is_object", safetensors("{\"a\":{\"dtype\":\"F32\",\"shape\":{}}}"), "E0311",
          {"an object"}),
  };
}

std::vector<BadFile> bad_entries() {
  const std::string one = entry("a", "1", "0,4");
  return {
      bad(6, "duplicate_tensor", safetensors("{" + one + "," + one + "}", "data"), "E0312",
          {"tensor name \"a\" occurs twice", "bytes 9 and 62"}),
      bad(6, "duplicate_metadata_key", safetensors(R"({"__metadata__":{"k":"1","k":"2"}})"), "E0312",
          {"metadata key \"k\" occurs twice", "bytes 25 and 33"}),
      bad(6, "duplicate_metadata", safetensors(R"({"__metadata__":{},"__metadata__":{}})"), "E0312",
          {"twice"}),
      bad(6, "duplicate_field", safetensors(R"({"a":{"dtype":"F32","dtype":"F32"}})"), "E0312",
          {"field \"dtype\" occurs twice"}),
      bad(6, "unknown_field",
          safetensors(R"({"a":{"dtype":"F32","color":1,"shape":[1],"data_offsets":[0,4]}})", "data"), "E0312",
          {"unknown field \"color\"", "--lenient"}),
      bad(6, "missing_field", safetensors(R"({"a":{"dtype":"F32","shape":[1]}})"), "E0312",
          {"lacks \"data_offsets\""}),
      bad(6, "three_offsets", safetensors("{" + entry("a", "1", "0,4,8") + "}", "data"), "E0312",
          {"more than 2"}),
      bad(6, "one_offset", safetensors("{" + entry("a", "1", "0") + "}", "data"), "E0312",
          {"1 data_offsets"}),
  };
}

std::vector<BadFile> bad_offsets() {
  const std::string a = entry("a", "1", "0,4");
  return {
      bad(7, "hole", safetensors("{" + a + "," + entry("b", "1", "8,12") + "}", floats(3)), "E0313",
          {"unused bytes", "\"a\"", "\"b\""}),
      bad(7, "overlap", safetensors("{" + a + "," + entry("b", "1", "2,6") + "}", floats(2)), "E0313",
          {"overlaps", "\"a\"", "\"b\""}),
      bad(7, "same_offsets", safetensors("{" + a + "," + entry("b", "1", "0,4") + "}", floats(1)), "E0313",
          {"overlaps", "\"a\"", "\"b\""}),
      bad(7, "first_not_at_zero", safetensors("{" + entry("a", "1", "4,8") + "}", floats(2)), "E0313",
          {"unused bytes", "the header", "\"a\""}),
      bad(7, "trailing_bytes", safetensors("{" + a + "}", floats(1) + "x"), "E0313",
          {"1 bytes follow", "\"a\""}),
      bad(7, "missing_bytes", safetensors("{" + a + "}", "abc"), "E0313",
          {"1 bytes before", "incomplete download?"}),
      bad(7, "end_before_begin", safetensors("{" + entry("a", "1", "4,0") + "}", floats(1)), "E0313",
          {"ends before it begins"}),
      bad(7, "data_without_tensors", safetensors("{}", "data"), "E0313", {"4 bytes follow", "the header"}),
      bad(7, "offset_wraps",
          safetensors("{" + entry("a", "1", "18446744073709551608,18446744073709551612") + "}"), "E0313",
          {"past any file's end"}),
  };
}

std::vector<BadFile> bad_shapes() {
  std::string ones = "1";
  for (int i = 1; i < 17; ++i) ones += ",1";
  return {
      bad(8, "shape_needs_more", safetensors("{" + entry("a", "2,3", "0,4") + "}", floats(1)), "E0314",
          {"need 24 bytes", "give 4", "\"a\""}),
      bad(8, "product_overflows",
          safetensors("{" + entry("a", "1099511627776,1099511627776,1099511627776", "0,0") + "}"), "E0314",
          {"product", "overflows"}),
      bad(8, "bit_count_overflows",
          safetensors("{" + entry("a", "1099511627776,8388608", "0,0", "F64") + "}"), "E0314", {"overflows"}),
      bad(8, "huge_dim", safetensors("{" + entry("a", "0,9223372036854775807", "0,0") + "}"), "E0314",
          {"2^40"}),
      bad(8, "huge_dim_first", safetensors("{" + entry("a", "9223372036854775807,0", "0,0") + "}"), "E0314",
          {"2^40"}),
      bad(8, "negative_dim", safetensors("{" + entry("a", "-1", "0,4") + "}", "data"), "E0311", {"negative"}),
      bad(8, "fraction_dim", safetensors("{" + entry("a", "1.0", "0,4") + "}", "data"), "E0311",
          {"fraction"}),
      bad(8, "dim_above_2_to_64", safetensors("{" + entry("a", "99999999999999999999", "0,4") + "}", "data"),
          "E0311", {"2^64"}),
      bad(8, "rank_17", safetensors("{" + entry("a", ones, "0,4") + "}", "data"), "E0314", {"rank 17"}),
  };
}

std::vector<BadFile> bad_types() {
  std::vector<BadFile> files{
      bad(9, "unknown_dtype", safetensors("{" + entry("a", "1", "0,4", "F99") + "}", "data"), "E0421",
          {"\"F99\"", "known are", "BF16"}),
      bad(9, "lower_case_dtype", safetensors("{" + entry("a", "1", "0,4", "f32") + "}", "data"), "E0421",
          {"\"f32\""}),
      bad(9, "sub_byte_dtype", safetensors("{" + entry("a", "3", "0,2", "F4") + "}", "da"), "E0421",
          {"\"F4\""}),
  };
  for (BadFile& file : files) file.exit = Exit::Unsupported;
  return files;
}

std::vector<BadFile> bad_names() {
  return {
      bad(11, "empty_name", safetensors("{" + entry("", "1", "0,4") + "}", "data"), "E0315", {"empty name"}),
      bad(11, "nul_in_name", safetensors("{" + entry("a\\u0000b", "1", "0,4") + "}", "data"), "E0315",
          {"control characters", "a\\x00b"}),
      bad(11, "ansi_escape_in_name", safetensors("{" + entry("\\u001b[2J", "1", "0,4") + "}", "data"),
          "E0315", {"control characters", "\\x1b[2J"}),
      bad(11, "name_of_1_mb", safetensors("{" + entry(std::string(1 << 20, 'n'), "1", "0,4") + "}", "data"),
          "E0315", {"1048576 bytes"}),
  };
}

}  // namespace

std::vector<BadFile> bad_safetensors() {
  std::vector<BadFile> all;
  for (const auto& part :
       {bad_lengths(), bad_texts(), bad_entries(), bad_offsets(), bad_shapes(), bad_types(), bad_names()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<BadFile> bad_beginnings() {
  std::vector<BadFile> files{
      {.row = 2, .name = "empty.pt", .bytes = "", .says = {"an empty file"}},
      {.row = 2, .name = "text.pt", .bytes = "hello, this is not a model\nat all", .says = {"text: \"hello"}},
      {.row = 2,
       .name = "login.safetensors",
       .bytes = "<!DOCTYPE html>\n<html><title>Log in</title></html>",
       .says = {"an HTML page", "log-in"}},
      {.row = 2,
       .name = "pointer.safetensors",
       .bytes = "version https://git-lfs.github.com/spec/v1\noid "
                "sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 90868376\n",
       .says = {"Git-LFS pointer", "git lfs pull"}},
      {.row = 2, .name = "gzip.pt", .bytes = "\x1f\x8b\x08"s + std::string(30, 'x'), .says = {"gzip"}},
      {.row = 2,
       .name = "archive.7z.pt",
       .bytes = "7z\xbc\xaf\x27\x1c"s + std::string(30, 'x'),
       .says = {"7z"}},
      {.row = 2, .name = "model.gguf", .bytes = "GGUF\x03\0\0\0"s + std::string(30, '\0'), .says = {"GGUF"}},
  };
  for (int size = 1; size < 8; ++size)
    files.push_back({.row = 2,
                     .name = "bytes_" + std::to_string(size) + ".safetensors",
                     .bytes = std::string(static_cast<std::size_t>(size), '\x07'),
                     .says = {"only " + std::to_string(size) + " bytes"}});
  for (BadFile& file : files) file.code = "E0303";
  return files;
}

}  // namespace pollard::bad_files
