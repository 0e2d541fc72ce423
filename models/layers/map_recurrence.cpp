// SPDX-License-Identifier: Apache-2.0
#include "models/layers/map_recurrence.h"

#include <ATen/ops/cat.h>

namespace pollard::models {
namespace {

/// Every row of a map [B, H, W, C] as a sequence of its own: [B, H, W, directions * hidden].
at::Tensor along_rows(const Recurrent& rnn, const at::Tensor& x) {
  const at::Tensor y = rnn(x.reshape({x.size(0) * x.size(1), x.size(2), x.size(3)})).output;
  return y.view({x.size(0), x.size(1), x.size(2), y.size(2)});
}

at::Tensor along_columns(const Recurrent& rnn, const at::Tensor& x) {
  return along_rows(rnn, x.transpose(1, 2)).transpose(1, 2);
}

at::Tensor along_map(const Recurrent& rnn, const at::Tensor& x) {
  const at::Tensor y = rnn(x.reshape({x.size(0), x.size(1) * x.size(2), x.size(3)})).output;
  return y.view({x.size(0), x.size(1), x.size(2), y.size(2)});
}

}  // namespace

MapRecurrence::MapRecurrence(const Options& o) : scans(o.scans) {
  const auto add = [&](const char* name, std::optional<Recurrent>& member) {
    child(name, member.emplace(o.cell, o.width, o.hidden,
                               RecurrentOptions{.layers = o.layers, .bidirectional = o.bidirectional}));
  };
  if (o.fc) child("fc", fc.emplace(o.joined(), o.width));
  const bool both = scans == Scans::Concatenated || scans == Scans::Added;
  if (both || scans == Scans::Vertical) add("rnn_v", rnn_v);
  if (both || scans == Scans::Horizontal) add("rnn_h", rnn_h);
  if (scans == Scans::WholeMap) add("rnn", rnn);
}

at::Tensor MapRecurrence::scan(const at::Tensor& x) const {
  if (rnn) return along_map(*rnn, x);
  if (!rnn_h) return along_columns(*rnn_v, x);
  if (!rnn_v) return along_rows(*rnn_h, x);
  const at::Tensor v = along_columns(*rnn_v, x), h = along_rows(*rnn_h, x);
  return scans == Scans::Added ? v.add(h) : at::cat({v, h}, -1);
}

at::Tensor MapRecurrence::operator()(const at::Tensor& x) const {
  const at::Tensor y = scan(x);
  return fc ? (*fc)(y) : y;
}

}  // namespace pollard::models
