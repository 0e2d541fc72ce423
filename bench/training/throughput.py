#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Samples a processor second of training: pollard against PyTorch eager, the same network, batch, thread and optimiser, in
turn. Processor time, so that other work on the machine counts little; pollard's start and the reading of files are taken
off as the difference between runs of four epochs and of one.

    POLLARD=build/cpu/bin/pollard throughput.py [NAME ...] [--samples N] [--rounds N] [--amp]

Names: resnet20, resnet56, vgg19, vit, sequencer, lstm. Best round of each; one thread. With --amp pollard in bf16 stands against
pollard without, in turn, instead."""
import argparse
import os
import resource
import tempfile
import time

import torch
import torch.nn.functional as F

import common
from registry import NETWORKS

parser = argparse.ArgumentParser()
parser.add_argument("names", nargs="*", default=["resnet20", "lstm"])
parser.add_argument("--samples", type=int, default=2560)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--amp", action="store_true")
arguments = parser.parse_args()
torch.set_num_threads(1)


def eager(model, x, y, batch):
    optimiser = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=5e-4)
    model.train()
    best = 0
    for _ in range(3):
        order, start, count = torch.randperm(len(x)), time.process_time(), 0
        for first in range(0, len(x) - batch + 1, batch):
            pick = order[first:first + batch]
            optimiser.zero_grad()
            loss = F.cross_entropy(model(x[pick]), y[pick])
            loss.backward()
            optimiser.step()
            count += len(pick)
        best = max(best, count / (time.process_time() - start))
    return best


def seconds(batch, epochs, *more):
    """Processor seconds of a run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    common.pollard("train", "net.pt2", "data.npz", "out.pt2", "--epochs", epochs, "--lr", 0.01, "--batch", batch, "--force",
                   *more)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def trained(x, batch, *more):
    """Samples a processor second of pollard's training."""
    return 3 * (len(x) // batch * batch) / (seconds(batch, 4, *more) - seconds(batch, 1, *more))


print("network    ", "  pollard      --amp" if arguments.amp else "PyTorch eager   pollard", "  ratio   (samples a processor second)")
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name in arguments.names:
        torch.manual_seed(0)
        network = NETWORKS[name]
        x, y = network.load("train")
        x, y = x[:arguments.samples].contiguous(), y[:arguments.samples]
        model = network.build()
        common.export(model, x, "net.pt2")
        common.save("data.npz", x, y)
        theirs = ours = 0
        for _ in range(arguments.rounds):
            theirs = max(theirs, trained(x, network.batch) if arguments.amp else eager(model, x, y, network.batch))
            ours = max(ours, trained(x, network.batch, *(["--amp"] if arguments.amp else [])))
        print(f"{name:10} {theirs:14.1f} {ours:9.1f} {ours / theirs:7.2f}", flush=True)
