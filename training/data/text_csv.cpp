// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <charconv>
#include <sstream>

#include "graph/error.h"
#include "models/data/wordpiece.h"
#include "models/io/bytes.h"
#include "models/io/file.h"
#include "training/data/dataset.h"

namespace pollard::training {
namespace {

/// Class and text of a record; false when it has none.
bool parse(const std::vector<std::string>& fields, std::int64_t& label, std::string& text) {
  if (fields.size() < 2) return false;
  const std::string& number = fields[0];
  const auto end = std::from_chars(number.data(), number.data() + number.size(), label);
  if (end.ec != std::errc() || end.ptr != number.data() + number.size() || label < 1) return false;
  text.clear();
  for (std::size_t i = 1; i < fields.size(); ++i) text += (i > 1 ? " " : "") + fields[i];
  return true;
}

at::Tensor fitted(const at::Tensor& ids, const graph::Value& value) {
  if (value.shape.size() != 2 || value.shape[1].symbolic()) return ids;
  const std::int64_t length = value.shape[1].hint, have = ids.size(1);
  return have < length ? at::constant_pad_nd(ids, {0, length - have}) : ids.slice(1, 0, length);
}

}  // namespace

bool read_csv_record(std::istream& in, std::vector<std::string>& fields) {
  fields.assign(1, "");
  bool quoted = false, any = false;
  for (int c = in.get(); c != std::istream::traits_type::eof(); c = in.get()) {
    any = true;
    if (quoted && c == '"' && in.peek() == '"')
      fields.back() += static_cast<char>(in.get());
    else if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      fields.emplace_back();
    else if (c == '\n' && !quoted)
      return true;
    else if (c != '\r' || quoted)
      fields.back() += static_cast<char>(c);
  }
  return any;
}

std::unique_ptr<Dataset> read_text_csv(const std::filesystem::path& file, const graph::Program& program,
                                       const DataOptions& options) {
  if (options.tokenizer.empty())
    throw UserError({.code = "E0399",
                     .exit = Exit::BadFile,
                     .subject = file.filename().string(),
                     .message = "text needs the vocabulary that turns it into ids",
                     .help = "name the folder of a WordPiece vocabulary: --tokenizer FOLDER"});
  std::istringstream in(std::string(models::io::as_text(models::io::read_file(file))));
  std::vector<std::string> fields, texts;
  std::vector<std::int64_t> labels;
  std::int64_t record = 0, left_out = 0;
  while (read_csv_record(in, fields) && (options.most == 0 || std::ssize(texts) < options.most)) {
    ++record;
    std::int64_t label = 0;
    std::string text;
    if (parse(fields, label, text)) {
      labels.push_back(label - 1);
      texts.push_back(std::move(text));
    } else if (options.skip_bad) {
      ++left_out;
    } else {
      bad_sample(file.filename().string(), "record " + std::to_string(record) + " is no class and text");
    }
  }
  if (texts.empty()) bad_sample(file.filename().string(), "holds no record");
  const models::TokenBatch batch = models::WordPiece::from_folder(options.tokenizer).batch(texts);
  std::vector<at::Tensor> inputs;
  for (const graph::Input* input : program.user_inputs()) {
    if (input->constant) continue;
    const graph::Value& value = program[input->value];
    const auto named = [&](const char* word) { return value.name.find(word) != std::string::npos; };
    inputs.push_back(fitted(named("mask")   ? batch.mask
                            : named("type") ? at::zeros_like(batch.ids)
                                            : batch.ids,
                            value));
  }
  auto out = std::make_unique<InMemory>(std::move(inputs), at::tensor(labels, at::kLong));
  out->left_out = left_out;
  return out;
}

}  // namespace pollard::training
