#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Samples a second of one process and of two, one thread each, at the same global batch, and how far their loss curves
lie apart.

    POLLARD=build/cpu/bin/pollard processes.py [--samples N] [--epochs N]"""
import argparse
import os
import tempfile

import torch

import common
from registry import NETWORKS

parser = argparse.ArgumentParser()
parser.add_argument("--samples", type=int, default=2560)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--name", default="resnet20")
arguments = parser.parse_args()
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    torch.manual_seed(0)
    network = NETWORKS[arguments.name]
    x, y = network.load("train")
    x, y = x[:arguments.samples].contiguous(), y[:arguments.samples]
    common.export(network.build(), x, "net.pt2")
    common.save("data.npz", x, y)
    reports = {}
    for _ in range(2):
        for processes in (1, 2):
            report = common.pollard("train", "net.pt2", "data.npz", "out.pt2", "--epochs", arguments.epochs, "--lr", 0.01,
                                    "--batch", network.batch, "--force", processes=processes)
            if processes not in reports or common.rate(report) > common.rate(reports[processes]):
                reports[processes] = report
    one, two = common.rate(reports[1]), common.rate(reports[2])
    losses = [[e["loss"] for e in reports[p]["epochs"]] for p in (1, 2)]
    print(f"{arguments.name}: 1 process {one:.1f}, 2 processes {two:.1f} samples a second: {two / one:.2f}x")
    print("losses", *(" ".join(f"{v:.6f}" for v in curve) for curve in losses), sep="\n  ")
