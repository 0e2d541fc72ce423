// SPDX-License-Identifier: Apache-2.0
// Parts of a dimension: slices, pieces, and putting them together.
#include <algorithm>
#include <array>
#include <limits>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

Name bound(Translation& t, std::string_view argument, std::int64_t fallback) {
  const graph::Arg* arg = t.op().find(argument);
  return arg && !arg->is_none() ? t.size(*arg) : t.list({fallback});
}

void slice(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), 0);
  const auto step = t.op().int_or("step", 1);
  t.result(t.slice(t.in("self"), dim, bound(t, "start", 0), bound(t, "end", kEnd),
                   step == 1 ? Name() : t.list({step})));
}

void narrow(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), 0);
  const Name start = bound(t, "start", 0), length = bound(t, "length", 0);
  t.result(t.slice(t.in("self"), dim, start, t.node("Add", {start, length})));
}

void select(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), 0);
  const Name index = t.number_as(*t.op().find("index"), graph::DType::Int64);
  t.result(t.node("Gather", {t.in("self"), index}, {{"axis", dim}}));
}

/// The pieces as long as the program's results say.
void split(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), 0);
  Ints lengths;
  for (std::size_t i = 0; i < t.op().outputs.size(); ++i) {
    const graph::Size& length = t.output(i).shape[static_cast<std::size_t>(dim)];
    if (length.symbolic()) t.refuse("pieces of a length that is not fixed");
    lengths.push_back(length.hint);
  }
  const Names parts = t.node("Split", {t.in("self"), t.list(lengths)}, lengths.size(), {{"axis", dim}});
  for (std::size_t i = 0; i < parts.size(); ++i) t.result(parts[i], i);
}

void unbind(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), 0);
  for (std::size_t i = 0; i < t.op().outputs.size(); ++i) {
    const Name index = t.scalar(static_cast<double>(i), graph::DType::Int64);
    t.result(t.node("Gather", {t.in("self"), index}, {{"axis", dim}}), i);
  }
}

Names parts(Translation& t) {
  Names out;
  for (graph::ValueId id : t.op().tensors("tensors"))
    out.push_back(t.cast(t.in(id), t.value(id).dtype, t.output().dtype));
  return out;
}

void cat(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", static_cast<std::int64_t>(t.output().shape.size()), 0);
  t.result(t.node("Concat", parts(t), {{"axis", dim}}));
}

void stack(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", static_cast<std::int64_t>(t.output().shape.size()), 0);
  Names given = parts(t);
  for (Name& name : given) name = t.unsqueeze(name, {dim});
  t.result(t.node("Concat", given, {{"axis", dim}}));
}

void repeat(Translation& t, const OnnxRule&) {
  const Names repeats = t.sizes(*t.op().find("repeats"));
  Ints missing;
  for (std::int64_t d = 0; d < static_cast<std::int64_t>(repeats.size()) - t.rank("self"); ++d)
    missing.push_back(d);
  t.result(t.node("Tile", {t.unsqueeze(t.in("self"), missing), t.join(repeats)}));
}

/// a a b b c c: a new dimension inside is stretched and merged.
void repeat_interleave(Translation& t, const OnnxRule&) {
  const auto rank = t.rank("self");
  const graph::Arg* given = t.op().find("dim");
  if (!given || given->is_none() || t.op().tensor("repeats"))
    t.refuse("repeats that are not one number along a dimension");
  const auto dim = t.dim("dim", rank, 0);
  Names stretch(static_cast<std::size_t>(rank + 1), t.list({1}));
  stretch[static_cast<std::size_t>(dim + 1)] = t.size(*t.op().find("repeats"));
  const Name wide = t.node("Expand", {t.unsqueeze(t.in("self"), {dim + 1}), t.join(stretch)});
  Names sizes = t.sizes(t.id("self"), 0, dim);
  sizes.push_back(t.list({-1}));
  for (const Name& name : t.sizes(t.id("self"), dim + 1, rank)) sizes.push_back(name);
  t.result(t.reshape(wide, sizes));
}

/// The last `shift` come first.
void roll(Translation& t, const OnnxRule&) {
  const Ints shifts = t.ints("shifts", 1, 0), dims = t.dims("dims", t.rank("self"));
  if (shifts.size() != dims.size()) t.refuse("a roll of the flattened tensor");
  Name x = t.in("self");
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const graph::Size& length = t.operand("self").shape[static_cast<std::size_t>(dims[i])];
    if (length.symbolic() ? shifts[i] == 0 : shifts[i] % length.hint == 0) continue;
    const std::int64_t cut = length.symbolic() ? -shifts[i] : -(shifts[i] % length.hint);
    const Name back = t.slice(x, dims[i], t.list({cut}), t.list({kEnd}));
    x = t.node("Concat", {back, t.slice(x, dims[i], t.list({0}), t.list({cut}))}, {{"axis", dims[i]}});
  }
  t.result(x);
}

void flip(Translation& t, const OnnxRule&) {
  Name x = t.in("self");
  for (std::int64_t d : t.dims("dims", t.rank("self")))
    x = t.slice(x, d, t.list({-1}), t.list({std::numeric_limits<std::int64_t>::min()}), t.list({-1}));
  t.result(x);
}

/// x[i + 1] - x[i]
void diff(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), -1);
  if (t.op().int_or("n", 1) != 1) t.refuse("differences of a higher order");
  Name x = t.in("self");
  if (const auto before = t.maybe("prepend")) x = t.node("Concat", {*before, x}, {{"axis", dim}});
  if (const auto after = t.maybe("append")) x = t.node("Concat", {x, *after}, {{"axis", dim}});
  const Name next = t.slice(x, dim, t.list({1}), t.list({kEnd})),
             here = t.slice(x, dim, t.list({0}), t.list({-1}));
  if (t.operand("self").dtype == graph::DType::Bool) return t.result(t.node("Xor", {next, here}));
  t.result(t.node("Sub", {next, here}));
}

/// PyTorch names the last dimension first, before and after each.
void pad_by(Translation& t, const Names& given, const std::string& mode, double value) {
  const auto rank = t.rank("self");
  Names before(static_cast<std::size_t>(rank), t.list({0})), after = before;
  for (std::size_t i = 0; i + 1 < given.size(); i += 2) {
    before[before.size() - 1 - i / 2] = given[i];
    after[after.size() - 1 - i / 2] = given[i + 1];
  }
  before.insert(before.end(), after.begin(), after.end());
  Names inputs{t.in("self"), t.join(before)};
  if (mode == "constant") inputs.push_back(t.scalar(value, t.output().dtype));
  t.result(t.node("Pad", inputs, {{"mode", mode}}));
}

void pad(Translation& t, const OnnxRule& rule) {
  std::string mode(rule.type);
  if (const graph::Arg* given = t.op().find("mode"))
    if (const auto* text = given->as<std::string>()) mode = *text == "replicate" ? "edge" : *text;
  if (mode == "circular") t.refuse("circular padding, which opset 19 brings");
  const graph::Arg* widths = t.op().find("pad");
  if (!widths) widths = t.op().find("padding");
  pad_by(t, t.sizes(*widths), mode, t.real("value", 0));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"cat", cat},
    {"chunk", split},
    {"constant_pad_nd", pad, "constant"},
    {"diff", diff},
    {"flip", flip},
    {"narrow", narrow},
    {"pad", pad, "constant"},
    {"reflection_pad1d", pad, "reflect"},
    {"reflection_pad2d", pad, "reflect"},
    {"repeat", repeat},
    {"repeat_interleave", repeat_interleave},
    {"replication_pad1d", pad, "edge"},
    {"replication_pad2d", pad, "edge"},
    {"roll", roll},
    {"select", select},
    {"slice", slice},
    {"split", split},
    {"split_with_sizes", split},
    {"stack", stack},
    {"unbind", unbind},
});

}  // namespace

std::span<const OnnxRule> segment_rules() { return kRules; }

}  // namespace pollard::models::onnx
