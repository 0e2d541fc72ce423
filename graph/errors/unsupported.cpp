// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "graph/error_catalog.h"

namespace pollard::errors {
namespace {

constexpr auto kEntries = std::to_array<ErrorEntry>({
    {"E0410", Exit::Unsupported, "op that may not run",
     "Only ops known to be pure tensor arithmetic are run, so that a model file can do nothing else. "
     "This one is not among them, or this LibTorch does not have it.",
     "error[E0410] aten.from_file.default: may not be run from a model file",
     "Export the model without this op, or with the PyTorch version this program is built on."},
    {"E0411", Exit::Unsupported, "construct of an exported program",
     "The archive uses a part of the export format that this version cannot represent.",
     "error[E0411] m.pt2: unsupported construct", "Export again with the options the message names."},
    {"E0412", Exit::Unsupported, "op cannot be called",
     "The arguments a file gives an op do not fit its definition, or the op refused them when it ran.",
     "error[E0412] aten.view.default: the op cannot be called as the file says",
     "Export the model again; if it runs in Python, please report it."},
    {"E0413", Exit::Unsupported, "program cannot be captured",
     "A built-in network did something while it was recorded that cannot be written as a program, or "
     "whose sizes do not follow from the inputs.",
     "error[E0413] aten.item.default: cannot be captured", "Use a torch.export file of the network instead."},
    {"E0414", Exit::Unsupported, "specification out of range",
     "A field of a network's specification is missing, unknown or outside its range, such as a number"
     " of heads that does not divide the width.",
     "error[E0414] heads: 7 does not divide the hidden width 384",
     "Correct the field; pollard models NAME shows the fields and ranges."},
    {"E0415", Exit::Unsupported, "run cannot be recorded",
     "Runs on a CUDA device are recorded as a graph and replayed. This network has an op that waits for the "
     "device, or a "
     "library that does.",
     "error[E0415] cuda: the run cannot be recorded", "Run it op by op: bench --kernels torch."},
    {"E0420", Exit::Unsupported, "no built-in family fits",
     "A checkpoint holds tensors by name but not what is computed with them, so its names must be those of a "
     "built-in network. They are not, or some are missing or too many; the message names the nearest "
     "families.",
     "error[E0420] m.safetensors: the tensors' names fit no built-in family",
     "Export the network with torch.export and use the .pt2 file; pollard models lists the families."},
    {"E0421", Exit::Unsupported, "element type not supported",
     "A tensor has an element type this program cannot compute with or the output format cannot hold.",
     "error[E0421] m.safetensors: tensor \"a\" has the element type \"F4\"",
     "Convert the tensor in Python, for example tensor.float()."},
    {"E0422", Exit::Unsupported, "right names, wrong shapes",
     "The names are those of a built-in network, but some tensors have shapes that no size of it has, or "
     "that contradict each other. A network pruned elsewhere looks like this.",
     "error[E0422] resnet: the names fit, but 3 tensors have another shape",
     "Give the specification with --spec, or export the network with torch.export."},
    {"E0423", Exit::Unsupported, "no weights",
     "The file is sound but holds no tensor, so there is no network to recognise in it.",
     "error[E0423] the file holds no weights", "Save a state dict: torch.save(model.state_dict(), f)."},
    {"E0430", Exit::Unsupported, "target cannot be met",
     "Even with everything removed that may be removed, more parameters or operations remain than "
     "asked for. The message says how many and what holds them.",
     "error[E0430] target: asked for 1000 parameters, but with every floor reached 5120 remain",
     "Ask for less, lower --min-width, raise --max-ratio, or free what --ignore keeps."},
    {"E0440", Exit::Unsupported, "batch size is fixed",
     "The network was exported for one batch size: the first dimension of its first input is a number and "
     "no symbol, so it cannot run with another.",
     "error[E0440] --batch 8: this model was exported with a fixed batch size: its first input is 1x...",
     "Leave out --batch, or export with dynamic_shapes for dimension 0."},
    {"E0441", Exit::Unsupported, "nothing to compress",
     "Only a product with a two-dimensional weight of its own becomes a Monarch matrix: tied weights stay, "
     "and so do "
     "those whose sizes the blocks do not divide or that are too small for them. Only attention of a "
     "sequence to "
     "itself, in both directions, becomes a feed-forward network: causal attention and that between two "
     "sequences stay.",
     "error[E0441] model.pt2: has no weight that could become a Monarch matrix",
     "Try other --blocks, a larger --keep, or another --only."},
    {"E0442", Exit::Unsupported, "tokens cannot be merged",
     "Token merging is part of the built-in vision transformers, so the network must be rebuilt as one of "
     "them. "
     "Its names fit none, its tensors have other shapes (a pruned network has widths of its own), or the "
     "rebuilt "
     "network does not compute what the file computes.",
     "error[E0442] --merge-tokens: this network cannot be rebuilt with merging in it",
     "Merge tokens in the original and prune the result; give a number of heads with --spec."},
    {"E0450", Exit::Unsupported, "no decoder language model",
     "Text is continued by a network that maps token ids [B, L], of any length L, to logits [B, L, V] and "
     "looks back "
     "with scaled_dot_product_attention. This one has other inputs or outputs, or a fixed length.",
     "error[E0450] program: its input is not one tensor of token ids [B, L]",
     "Use a decoder; export it with a dynamic length and ids as its only input."},
    {"E0451", Exit::Unsupported, "cannot run token by token",
     "Keys and values of earlier tokens can be kept only where no token looks at later ones. An attention of "
     "this "
     "program is not causal, its mask depends on the tokens, or another op mixes positions.",
     "error[E0451] program: token by token it computes something else than at once",
     "Run the whole text for every token: --no-cache."},
    {"E0460", Exit::Unsupported, "cannot be streamed",
     "With --stream, weights stay on disk and are read piece by piece. Only safetensors files can be read "
     "so: a .pt2 or "
     ".pt would have to be unpacked first.",
     "error[E0460] model.pt2: only safetensors files can stay on disk while they are pruned",
     "Save the weights as .safetensors (pollard export), or leave out --stream."},
    {"E0461", Exit::Unsupported, "criterion needs the weights in memory",
     "With --stream, a criterion learns sums of powers of the weights, and what each part of the network "
     "does with "
     "samples while its weights are in memory. Gradients would need all of them at once.",
     "error[E0461] --criterion fpgm: reads whole weights, which stay on disk here",
     "Choose magnitude, lamp, random, wanda, flap or least-squares:metric=local, or leave out --stream."},
    {"E0470", Exit::Unsupported, "cannot be said in ONNX",
     "ONNX has a fixed list of ops. The network uses one that is not among them, such as an eigenvalue "
     "decomposition, or uses one in a way that cannot be written before it runs, such as choosing rows by a "
     "mask. docs/onnx.md lists them.",
     "error[E0470] aten.linalg_eigh.default: cannot be exported to ONNX: it has no op for this",
     "Write .pt2 or .safetensors instead, or replace the op in Python and export again."},
    {"E0471", Exit::Unsupported, "too large for the element type",
     "Half precision (f16) ends at 65504. A weight of this network is larger and would become infinite.",
     "error[E0471] fc.weight: holds numbers that are too large for this element type",
     "Use --dtype bf16, which has the range of f32."},
    {"E0472", Exit::Unsupported, "no weights to quantise",
     "--dtype int8 stores the weights of linear layers as bytes. A weight counts when it is a matrix of "
     "floats that a "
     "product reads; convolutions and recurrent layers stay.",
     "error[E0472] --dtype int8: the network has no linear layer with a float weight of its own",
     "Use --dtype f16 or bf16, which take every network."},
    {"E0473", Exit::Unsupported, "cannot be written as TorchScript",
     "The program computes a size in a way that TorchScript has no op for. The format is deprecated; .pt2 "
     "follows it.",
     "error[E0473] torch.sym_max: cannot be written as TorchScript", "Write .pt2, or .onnx, instead."},
});

}  // namespace

std::span<const ErrorEntry> unsupported() { return kEntries; }

}  // namespace pollard::errors
