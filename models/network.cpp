// SPDX-License-Identifier: Apache-2.0
#include "models/network.h"

#include "graph/error.h"
#include "models/golden_fill.h"

namespace pollard::models {

Result::Result(at::Tensor tensor) { items_.emplace_back("", std::move(tensor)); }

Result Result::tuple(std::vector<at::Tensor> tensors) {
  POLLARD_CHECK(!tensors.empty(), "a network returns something");
  Result result(tensors.front());
  result.kind_ = Kind::Tuple;
  for (std::size_t i = 1; i < tensors.size(); ++i) result.items_.emplace_back("", std::move(tensors[i]));
  return result;
}

Result Result::dict(std::vector<Named> items) {
  POLLARD_CHECK(!items.empty(), "a network returns something");
  Result result(items.front().second);
  result.kind_ = Kind::Dict;
  result.items_ = std::move(items);
  return result;
}

std::vector<at::Tensor> Network::example_inputs(at::Device device) const {
  std::vector<at::Tensor> out;
  for (const Example& example : examples()) {
    std::vector<std::int64_t> shape;
    for (const Dim& dim : example.shape) shape.push_back(dim.size);
    const std::string name = "input:" + example.name;
    at::Tensor value = c10::isFloatingType(example.dtype)
                           ? golden_unit(name, shape)
                           : golden_ids(name, shape, example.high - example.low).add_(example.low);
    out.push_back(value.to(device, example.dtype));
  }
  return out;
}

}  // namespace pollard::models
