#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A few networks as TorchScript: Python's torch.jit.load computes the same, under the same state dict.

    test_torchscript.py POLLARD
"""
import os
import subprocess
import sys
import tempfile
import warnings

import torch

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "oracle"))
from check_pruned import tensors  # noqa: E402

CASES = ["bilstm2", "dgcnn", "hf_gpt2", "hf_llama_gqa", "syn_group_conv", "syn_tied_weight", "syn_two_out", "transenc"]


def check(pollard, path, out):
    subprocess.run([pollard, "export", path, out, "-q", "--force"], check=True)
    program = torch.export.load(path)
    script = torch.jit.load(out)
    args, kwargs = program.example_inputs
    given = tensors((args, kwargs))
    with torch.no_grad():
        want = tensors(program.module(check_guards=False)(*args, **kwargs))
        got = tensors(script(*given))
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max(), float((a - b).abs().max())
    names = set(script.state_dict())
    missing = set(program.state_dict) - names
    assert not missing, missing


def main():
    pollard = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES:
            path = os.path.join(HERE, "..", "cases", name + ".pt2")
            small = os.path.join(folder, name + ".pt2")
            subprocess.run([pollard, "prune", path, small, "--ratio", "0.5", "-q"], check=True, capture_output=True)
            for file in (path, small):
                check(pollard, file, os.path.join(folder, "out.ts"))
            print("ok", name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
