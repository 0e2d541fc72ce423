#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Samples a second of one process and of two, one thread each, at the same global batch, and how far their loss curves
lie apart. On a machine busy with other things the wall clock says little; the processor time of both says how fast two
would be on cores of their own: at least 2 x time of one / time of two, since waiting spins and counts as time.

    POLLARD=build/cpu/bin/pollard processes.py [--samples N] [--epochs N]"""
import argparse
import os
import resource
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
    reports, spent = {}, {}
    for _ in range(2):
        for processes in (1, 2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            report = common.pollard("train", "net.pt2", "data.npz", "out.pt2", "--epochs", arguments.epochs, "--lr", 0.01,
                                    "--batch", network.batch, "--force", processes=processes)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            spent[processes] = min(spent.get(processes, seconds), seconds)
            if processes not in reports or common.rate(report) > common.rate(reports[processes]):
                reports[processes] = report
    one, two = common.rate(reports[1]), common.rate(reports[2])
    losses = [[e["loss"] for e in reports[p]["epochs"]] for p in (1, 2)]
    print(f"{arguments.name}: 1 process {one:.1f}, 2 processes {two:.1f} samples a second: {two / one:.2f}x")
    print(f"processor seconds: {spent[1]:.1f} and {spent[2]:.1f}: at least {2 * spent[1] / spent[2]:.2f}x on free cores")
    print("losses", *(" ".join(f"{v:.6f}" for v in curve) for curve in losses), sep="\n  ")
