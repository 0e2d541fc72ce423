#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A few networks, whole and pruned, in onnxruntime and in PyTorch; one of each kind of op. bench/onnx_table.py runs all.

    test_onnx_runtime.py POLLARD
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = ["bilstm2", "dgcnn", "hf_gpt2", "hf_llama_gqa", "syn_convT", "syn_embbag", "syn_group_conv", "syn_instnorm_noaff",
         "syn_pixel_shuffle", "syn_roll_ch", "weight_standardised"]


def scatter_network(path):
    """Every reduction of scatter_reduce, with and without the tensor itself; some positions are met twice, some never."""
    import torch

    class Scatter(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(6, 5)
            self.register_buffer("index", torch.tensor([[0, 2, 2, 5, 2]]))

        def forward(self, x):
            y, index = self.layer(x), self.index.expand(x.shape[0], 5)
            return torch.stack([x.scatter_reduce(1, index, y, how, include_self=own)
                                for how in ("sum", "prod", "mean", "amax", "amin") for own in (True, False)])

    torch.manual_seed(0)
    torch.export.save(torch.export.export(Scatter().eval(), (torch.randn(3, 6),)), path)
    return path


def main():
    pollard = sys.argv[1]
    sys.path.insert(0, os.path.join(HERE, "..", "oracle"))
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        print("not run: onnxruntime is not installed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [scatter_network(os.path.join(folder, "scatter.pt2"))]
        for name in CASES:
            path = os.path.join(HERE, "..", "cases", name + ".pt2")
            small = os.path.join(folder, name + ".small.pt2")
            subprocess.run([pollard, "prune", path, small, "--ratio", "0.5", "-q"], check=True, capture_output=True)
            paths += [path, small]
        check = os.path.join(HERE, "..", "oracle", "check_onnx.py")
        done = subprocess.run([sys.executable, check, pollard, *paths], capture_output=True, text=True)
        print(done.stdout, done.stderr)
        return done.returncode or int("refused" in done.stdout.replace("passed or refused", ""))


if __name__ == "__main__":
    sys.exit(main())
