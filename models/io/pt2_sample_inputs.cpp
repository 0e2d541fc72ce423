// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_sample_inputs.h"

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/io/torch_archive.h"

namespace pollard::models::io::pt2 {
namespace {

using Named = TorchArchive::Named;

/// Every tensor of (args, kwargs) in the order torch.export flattens them. `budget` bounds the visits: a pickle may
/// name one list many times.
void collect(const pickle::Tree& tree, pickle::NodeId id, int& budget, std::vector<Named>& out) {
  if (--budget < 0) return;
  switch (tree.kind(id)) {
    case pickle::Kind::Tensor:
      out.emplace_back("sample input " + std::to_string(out.size()), &tree.tensor(id));
      break;
    case pickle::Kind::Tuple:
    case pickle::Kind::List:
      for (pickle::NodeId item : tree.items(id)) collect(tree, item, budget, out);
      break;
    case pickle::Kind::Dict:
      for (const auto& [key, value] : tree.entries(id)) collect(tree, value, budget, out);
      break;
    default: break;
  }
}

bool fits(const graph::Program& program, const std::vector<at::Tensor>& tensors) {
  std::size_t next = 0;
  for (const graph::Input* input : program.user_inputs()) {
    const graph::Value& value = program[input->value];
    if (input->constant || value.kind != graph::Value::Kind::Tensor) continue;
    if (next == tensors.size()) return false;
    const at::Tensor& tensor = tensors[next++];
    if (kernels::from_scalar_type(tensor.scalar_type()) != value.dtype || tensor.sizes() != value.sizes())
      return false;
  }
  return next == tensors.size();
}

}  // namespace

std::vector<at::Tensor> read_sample_inputs(const ZipReader& archive, const std::string& model,
                                           const graph::Program& program) {
  const ZipEntry* entry = archive.find("data/sample_inputs/" + model + ".pt");
  if (!entry || entry->size == 0) return {};
  try {
    const TorchArchive saved(archive.open(*entry));
    std::vector<Named> named;
    int budget = 100'000;
    collect(saved.tree(), saved.tree().root(), budget, named);
    std::vector<at::Tensor> tensors = saved.read(named);
    return fits(program, tensors) ? tensors : std::vector<at::Tensor>{};
  } catch (const UserError& error) {
    if (error.parts().code == "E0323") throw;  // damaged, not merely unusual
    return {};
  }
}

}  // namespace pollard::models::io::pt2
