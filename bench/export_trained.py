#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exports what train_networks.py trained to .pt2 with a dynamic batch, and draws calibration samples for it.

    export_trained.py FOLDER [NAME ...] [--samples 1024] [--seeds 3]

Reads FOLDER/NAME.pth; writes FOLDER/NAME.pt2 and, for every seed s, FOLDER/NAME.calib<s>.safetensors: training samples
without labels, drawn by that seed (all of them in a random order where there are fewer).
"""
import argparse
import os
import sys

import torch
from safetensors.torch import save_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks"))
from registry import NETWORKS  # noqa: E402


def load(folder, name):
    model = NETWORKS[name].build()
    model.load_state_dict(torch.load(os.path.join(folder, name + ".pth"), weights_only=True))
    return model.float().eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--seeds", type=int, default=3)
    a = parser.parse_args()
    for name in a.names or NETWORKS:
        model, x = load(a.folder, name), NETWORKS[name].load("train")[0]
        batch = torch.export.Dim("batch", min=1, max=65536)
        program = torch.export.export(model, (x[:2].clone(),), dynamic_shapes=({0: batch},))
        torch.export.save(program, os.path.join(a.folder, name + ".pt2"))
        for seed in range(a.seeds):
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:a.samples]
            save_file({"x": x[order].contiguous()}, os.path.join(a.folder, f"{name}.calib{seed}.safetensors"))


if __name__ == "__main__":
    main()
