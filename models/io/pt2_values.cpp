// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_values.h"

#include "models/io/bytes.h"
#include "models/io/pt2_schema.h"
#include "models/io/text.h"

namespace pollard::models::io::pt2 {
namespace {

constexpr std::size_t kMaxRank = 16;
constexpr std::int64_t kMaxSize = std::int64_t{1} << 40;

std::vector<std::int64_t> hints(const std::vector<graph::Size>& sizes) {
  std::vector<std::int64_t> out;
  out.reserve(sizes.size());
  for (const graph::Size& size : sizes) out.push_back(size.hint);
  return out;
}

std::vector<graph::Size> read_sizes(const JsonReader& reader, const Json& json,
                                    SymbolAssumptions& assumptions) {
  std::vector<graph::Size> out;
  if (reader.list(json).size() > kMaxRank)
    reader.fail("a tensor of " + std::to_string(json.size()) + " dimensions");
  for (const Json& item : json) {
    out.push_back(read_sym_int(reader, item, assumptions));
    if (out.back().hint < 0 || out.back().hint > kMaxSize)
      reader.fail("size or stride " + std::to_string(out.back().hint) + " is out of range");
  }
  return out;
}

void check_numel(const JsonReader& reader, const std::vector<graph::Size>& shape) {
  std::int64_t product = 1;
  for (const graph::Size& size : shape) {
    const auto next = checked_mul(product, size.hint == 0 ? 1 : size.hint);
    if (!next || *next > kMaxSize) reader.fail("a tensor with more than 2^40 elements");
    product = *next;
  }
}

}  // namespace

std::vector<std::int64_t> TensorMeta::sizes() const { return hints(shape); }
std::vector<std::int64_t> TensorMeta::stride_hints() const { return hints(strides); }

std::int64_t TensorMeta::numel() const {
  std::int64_t product = 1;
  for (const graph::Size& size : shape) product *= size.hint;
  return product;
}

std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t i = sizes.size(); i-- > 1;)
    strides[i - 1] = strides[i] * std::max<std::int64_t>(sizes[i], 1);
  return strides;
}

graph::Size read_sym_int(const JsonReader& reader, const Json& json, SymbolAssumptions& assumptions) {
  const auto [kind, value] = reader.alternative(json);
  if (kind == "as_int") return {reader.integer(value), ""};
  if (kind != "as_expr") reader.fail("unknown kind of size " + in_quotes(kind));
  const std::string& text = reader.string(value, "expr_str");
  const auto expression = read_symbolic(text, assumptions);
  if (!expression) reader.fail("size expression " + in_quotes(text) + " is not understood");
  const Json* hint = reader.find(value, "hint");
  if (!hint) return {0, *expression};  // sizes only known at run time, such as a count of non-zeros
  return {reader.integer(reader.alternative(*hint).second), *expression};
}

graph::Device read_device(const JsonReader& reader, const Json& json) {
  graph::Device device{reader.string(json, "type"), std::nullopt};
  if (const Json* index = reader.find(json, "index")) device.index = reader.integer(*index);
  return device;
}

TensorMeta read_tensor_meta(const JsonReader& reader, const Json& json, SymbolAssumptions& assumptions) {
  TensorMeta meta;
  const std::int64_t code = reader.integer(json, "dtype");
  const auto dtype = dtype_from_code(code);
  if (!dtype) reader.fail("element type " + std::to_string(code) + " is not known");
  meta.dtype = *dtype;
  meta.shape = read_sizes(reader, reader.member(json, "sizes"), assumptions);
  meta.strides = read_sizes(reader, reader.member(json, "strides"), assumptions);
  if (meta.strides.size() != meta.shape.size()) reader.fail("as many strides as sizes were expected");
  check_numel(reader, meta.shape);
  meta.storage_offset = read_sym_int(reader, reader.member(json, "storage_offset"), assumptions).hint;
  if (meta.storage_offset < 0 || meta.storage_offset > kMaxSize)
    reader.fail("storage offset is out of range");
  meta.requires_grad = reader.boolean(json, "requires_grad");
  meta.device = read_device(reader, reader.member(json, "device"));
  const auto layout = layout_from_code(reader.integer(json, "layout"));
  if (!layout) reader.fail("tensor layout is not known");
  if (*layout != "strided")
    reader.unsupported("a tensor of layout " + *layout, "export a model with dense tensors");
  meta.layout = *layout;
  return meta;
}

graph::Value to_value(std::string name, const TensorMeta& meta) {
  graph::Value value{.name = std::move(name),
                     .dtype = meta.dtype,
                     .shape = meta.shape,
                     .device = meta.device,
                     .layout = meta.layout,
                     .requires_grad = meta.requires_grad};
  if (meta.stride_hints() == contiguous_strides(meta.sizes())) return value;
  value.strides = meta.stride_hints();
  for (const graph::Size& stride : meta.strides) value.stride_exprs.push_back(stride.expr);
  return value;
}

}  // namespace pollard::models::io::pt2
