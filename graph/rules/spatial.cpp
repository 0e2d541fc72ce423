// SPDX-License-Identifier: Apache-2.0
// Ops that move units between channels and space.
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

struct Channels {
  TermId major, minor;
};

/// Reads the channel term as major x minor with this minor size, or freezes it.
Channels read_channels(RuleContext& c, TermId term, std::int64_t minor) {
  if (minor <= 0 || c.size(term) % minor) c.malformed("channels not divisible by " + std::to_string(minor));
  if (const auto split = c.terms().split_minor(term, minor, c.index())) return {split->first, split->second};
  c.freeze(term, FreezeWhy::Unfit);
  return {c.frozen(c.size(term) / minor, FreezeWhy::Unfit), c.frozen(minor, FreezeWhy::Unfit)};
}

std::int64_t factor(RuleContext& c, std::string_view argument) {
  const std::int64_t r = c.op().int_or(argument, 1);
  if (r < 1 || r > 1 << 15) c.malformed(std::string(argument) + " is " + std::to_string(r));
  return r;
}

// [.., C r r, H, W] -> [.., C, H r, W r]
void apply_pixel_shuffle(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::size_t n = x.dims.size();
  if (n < 3) c.malformed("pixel_shuffle of rank " + std::to_string(n));
  const std::int64_t r = factor(c, "upscale_factor");
  const Channels channels = read_channels(c, x.dims.at(n - 3), r * r);
  c.freeze(channels.minor, FreezeWhy::Position);
  std::vector<TermId> out = x.dims;
  out.at(n - 3) = channels.major;
  for (std::size_t d : {n - 2, n - 1}) {
    c.freeze(x.dims.at(d), FreezeWhy::Position);
    out.at(d) = c.frozen(c.out_value().shape.at(d).hint, FreezeWhy::Position);
  }
  c.set(0, std::move(out), x.nonvanishing);
}

void apply_pixel_unshuffle(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::size_t n = x.dims.size();
  if (n < 3) c.malformed("pixel_unshuffle of rank " + std::to_string(n));
  const std::int64_t r = factor(c, "downscale_factor");
  std::vector<TermId> out = x.dims;
  out.at(n - 3) = c.terms().product({x.dims.at(n - 3), c.frozen(r * r, FreezeWhy::Position)});
  for (std::size_t d : {n - 2, n - 1}) {
    c.freeze(x.dims.at(d), FreezeWhy::Position);
    out.at(d) = c.frozen(c.out_value().shape.at(d).hint, FreezeWhy::Position);
  }
  c.set(0, std::move(out), x.nonvanishing);
}

// [N, G x m, ..] -> [N, m x G, ..]
void apply_channel_shuffle(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::int64_t groups = c.op().int_or("groups", 1);
  if (x.dims.size() < 2 || groups < 1) c.malformed("channel_shuffle");
  const Channels channels = read_channels(c, x.dims.at(1), c.size(x.dims.at(1)) / groups);
  c.remember("groups", channels.major);
  std::vector<TermId> out = x.dims;
  out.at(1) = c.terms().product({channels.minor, channels.major});
  c.set(0, std::move(out), x.nonvanishing);
}

void rewrite_channel_shuffle(RewriteContext& c) {
  if (const TermId G = c.remembered("groups"); c.resized(G)) c.op().set("groups", c.new_size(G));
}

// im2col: [N, C, H, W] -> [N, C x kernel, windows]
void apply_im2col(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  if (x.dims.size() != 4 || c.size(x.dims.at(1)) == 0) return c.give_up(FreezeWhy::Position);
  const std::int64_t kernel = c.out_value().shape.at(1).hint / c.size(x.dims.at(1));
  for (std::size_t d : {2U, 3U}) c.freeze(x.dims.at(d), FreezeWhy::Position);
  c.set(0,
        {x.dims.at(0), c.terms().product({x.dims.at(1), c.frozen(kernel, FreezeWhy::Kernel)}),
         c.frozen(c.out_value().shape.at(2).hint, FreezeWhy::Position)},
        x.nonvanishing);
}

// col2im: [N, C x kernel, windows] -> [N, C, H, W]
void apply_col2im(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const Value& out = c.out_value();
  if (x.dims.size() != 3 || out.shape.size() != 4 || out.shape[1].hint == 0)
    return c.give_up(FreezeWhy::Position);
  const Channels channels = read_channels(c, x.dims.at(1), c.size(x.dims.at(1)) / out.shape.at(1).hint);
  c.freeze(channels.minor, FreezeWhy::Kernel);
  c.freeze(x.dims.at(2), FreezeWhy::Position);
  c.set(0,
        {x.dims.at(0), channels.major, c.frozen(out.shape.at(2).hint, FreezeWhy::Position),
         c.frozen(out.shape.at(3).hint, FreezeWhy::Position)},
        x.nonvanishing);
}

// Tensor.unfold(dimension, size, step): windows in place of the dimension, positions in the window last.
void apply_unfold(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const Value& out = c.out_value();
  const std::size_t d = c.dim("dimension", 0, x.dims.size());
  if (out.shape.size() != x.dims.size() + 1) c.malformed("unfold");
  std::vector<TermId> dims = x.dims;
  c.freeze(dims.at(d), FreezeWhy::Position);
  dims.at(d) = c.frozen(out.shape.at(d).hint, FreezeWhy::Position);
  dims.push_back(c.frozen(out.shape.back().hint, FreezeWhy::Position));
  c.set(0, std::move(dims), x.nonvanishing);
}

}  // namespace

std::span<const OpRule> spatial_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "pixel_shuffle", .apply = apply_pixel_shuffle},
      {.name = "pixel_unshuffle", .apply = apply_pixel_unshuffle},
      {.name = "channel_shuffle", .apply = apply_channel_shuffle, .rewrite = rewrite_channel_shuffle},
      {.name = "native_channel_shuffle", .apply = apply_channel_shuffle, .rewrite = rewrite_channel_shuffle},
      {.name = "im2col", .apply = apply_im2col},
      {.name = "col2im", .apply = apply_col2im},
      {.name = "unfold", .apply = apply_unfold},
  });
  return kRules;
}

}  // namespace pollard::graph
