#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replaces a built-in encoder's attention by feed-forward networks and judges the file with PyTorch alone: the original,
interpreted with torch.nn modules of the new weights in place of each attention, must compute the same, at two batch
sizes and two lengths.

    test_attention_in_python.py POLLARD
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
from check_pruned import TOLERANCE, in_double, tensors  # noqa: E402

SPEC = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 40}
POSITIONS, HEADS = 20, 4


class Replaced(torch.fx.Interpreter):
    """The original's graph, attention by attention."""

    def __init__(self, module, networks, mask):
        super().__init__(module)
        self.networks, self.mask = iter(networks), mask.double().unsqueeze(-1)

    def run_node(self, node):
        if "scaled_dot_product_attention" not in str(node.target):
            return super().run_node(node)
        source = node.args[0]
        while "linear" not in str(source.target):
            source = source.args[0]
        x = self.env[source.args[0]] * self.mask
        batch, length, width = x.shape
        filled = torch.zeros(batch, POSITIONS, width, dtype=x.dtype)
        filled[:, :length] = x
        y = next(self.networks)(filled.flatten(1)).view(batch, POSITIONS, -1)[:, :length] * self.mask
        return y.view(batch, length, HEADS, -1).transpose(1, 2)


def network(weights, prefix):
    out, width = weights[prefix + "layers.1.weight"].shape
    layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out), nn.LeakyReLU(0.01), nn.LayerNorm(out),
                           nn.Linear(out, len(weights[prefix + "layers.4.bias"]))).double()
    layers.load_state_dict({name[len(prefix) + len("layers."):]: tensor for name, tensor in weights.items()
                            if name.startswith(prefix)})
    return layers


def main():
    pollard = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)
        with open(path("spec.json"), "w") as file:
            json.dump(SPEC, file)
        with open(path("vocab.txt"), "w") as file:
            file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + [chr(97 + i) for i in range(26)]))
        with open(path("text.txt"), "w") as file:
            file.write("\n".join(" ".join(chr(97 + (i * k + 3) % 26) for k in range(1 + i % 9)) for i in range(40)))
        subprocess.run([pollard, "init", "bert", path("bert.pt2"), "--spec", path("spec.json"), "-q"], check=True)
        subprocess.run([pollard, "compress", path("bert.pt2"), path("ffn.pt2"), "--attention-to-ffn", "--calib",
                        path("text.txt"), "--tokenizer", folder, "--max-length", str(POSITIONS), "--size", "M",
                        "--epochs", "2", "--repeat", "0", "-q"], check=True, stdout=subprocess.DEVNULL)
        original, replaced = (in_double(torch.export.load(path(name))) for name in ("bert.pt2", "ffn.pt2"))
    weights = replaced.state_dict()
    prefixes = sorted({name[: name.index("layers.1.weight")] for name in weights if name.endswith("ff.layers.1.weight")})
    worst, change = 0.0, 0.0
    with torch.no_grad():
        for batch, length in ((2, 7), (3, POSITIONS)):
            ids = torch.arange(batch * length).view(batch, length) % 97
            mask = (torch.arange(length) < length - torch.arange(batch).unsqueeze(1)).long()
            kinds = torch.zeros_like(ids)
            networks = [network(weights, prefix) for prefix in prefixes]
            want = tensors(Replaced(original, networks, mask).run(ids, mask, kinds))
            got = tensors(replaced(ids, mask, kinds))
            change = max(change, float((got[0] - tensors(original(ids, mask, kinds))[0]).abs().max()))
            worst = max([worst] + [float((a - b).abs().max() / b.abs().max()) for a, b in zip(got, want)])
    print(f"{len(prefixes)} layers, {worst:.1e} relative ({change:.1e} from the original), at two batch sizes and lengths")
    return 0 if len(prefixes) == 2 and worst <= TOLERANCE and change > 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
