#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compresses a built-in network to Monarch matrices and judges the file with PyTorch alone: the original, with each
weight multiplied out from its two factors entry by entry, must compute the same, at two batch sizes.

    test_monarch_in_python.py POLLARD
"""
import json
import os
import subprocess
import sys
import tempfile

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
from check_pruned import TOLERANCE, check_twice, doubled, in_double, tensors  # noqa: E402

SPEC = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 40}


def multiplied_out(first, second):
    """[out, in] of y[s l + j] = sum_r second[j, s, r] a[r l + j], a[i q + c] = sum_p first[i, c, p] x[i p + p]."""
    (k, q, p), (l, s, r) = first.shape, second.shape
    inner = torch.block_diag(*first)           # [k q, k p]
    gathered = inner.view(r, l, k * p)         # row r l + j
    return torch.einsum("jsr,rji->sji", second, gathered).reshape(s * l, k * p)


def main():
    pollard = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)
        with open(path("spec.json"), "w") as file:
            json.dump(SPEC, file)
        subprocess.run([pollard, "init", "bert", path("bert.pt2"), "--spec", path("spec.json"), "-q"], check=True)
        subprocess.run([pollard, "compress", path("bert.pt2"), path("monarch.pt2"), "--monarch", "--keep", "0.6",
                        "--repeat", "0", "-q"], check=True, stdout=subprocess.DEVNULL)
        original, monarch = (torch.export.load(path(name)) for name in ("bert.pt2", "monarch.pt2"))
        args, kwargs = (doubled(inputs) for inputs in original.example_inputs)
        dense, small = in_double(original), in_double(monarch)
    factors = {name: tensor for name, tensor in small.state_dict().items() if ".monarch_" in name}
    weights = dense.state_dict()
    with torch.no_grad():
        for name in [n for n in factors if n.endswith(".monarch_first")]:
            weight = name[: -len(".monarch_first")]
            weights[weight].copy_(multiplied_out(factors[name], factors[weight + ".monarch_second"]))
        want, got = tensors(dense(*args, **kwargs)), tensors(small(*args, **kwargs))
        problem = check_twice(small, args, kwargs, got)
    worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(got, want))
    print(f"{len(factors) // 2} layers, {worst:.1e} relative{problem or ', at two batch sizes'}")
    return 0 if factors and worst <= TOLERANCE and not problem else 1


if __name__ == "__main__":
    sys.exit(main())
