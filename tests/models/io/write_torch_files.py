# SPDX-License-Identifier: Apache-2.0
"""Writes checkpoints with PyTorch and safetensors: write_torch_files.py FOLDER.

Every name.pt holds the same tensors as name.safetensors, which the reference implementation wrote.
"""
import argparse
import pathlib
import sys

import torch
from safetensors.torch import save_file


def every_type():
    torch.manual_seed(0)
    values = torch.randn(3, 4)
    types = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.uint8, torch.int16,
             torch.int32, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2,
             torch.uint16, torch.uint32, torch.uint64]
    tensors = {str(t).removeprefix("torch."): (values.abs() * 9).to(t) for t in types}
    tensors["scalar"] = torch.tensor(3.5)
    tensors["empty"] = torch.empty(0, 7)
    tensors["transposed"] = values.t()
    tensors["sliced"] = torch.arange(100.).reshape(10, 10)[2:5, ::3]
    tensors["naïve ключ"] = torch.ones(2)
    return tensors


def main(folder):
    tensors = every_type()
    module = torch.nn.TransformerEncoderLayer(16, 4, 32)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(2, 3, 16)).sum().backward()
    optimizer.step()
    training = {"epoch": 3, "model": module.state_dict(), "optimizer": optimizer.state_dict(), "loss": [0.5, None],
                "args": argparse.Namespace(lr=0.1, rng=2**70), "rng": torch.get_rng_state()}
    cases = {
        "every_type": (tensors, tensors),
        "state dict": (module.state_dict(), module.state_dict()),
        "parameters": (dict(module.named_parameters()), dict(module.named_parameters())),
        "training": (training, module.state_dict()),
        "one number": ({"n": torch.tensor(1)}, {"n": torch.tensor(1)}),
    }
    for name, (saved, expected) in cases.items():
        torch.save(saved, folder / f"{name}.pt")
        save_file({k: v.detach().contiguous() for k, v in expected.items()}, folder / f"{name}.safetensors",
                  metadata={"format": "pt"})


main(pathlib.Path(sys.argv[1]))
