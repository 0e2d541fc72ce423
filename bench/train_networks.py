#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the networks of docs/repair.md and stores them as state dicts (f16 on disk, f32 in use).

    train_networks.py OUT_FOLDER [NAME ...] [--epochs N] [--from FOLDER --rate R]

Names: resnet20, vit, sequencer (Fashion-MNIST) and lstm (JapaneseVowels). One thread, seed 0; some train in bf16. --from goes on from FOLDER/NAME.pth, at the peak
learning rate R. Prints the test accuracy after every epoch.
"""
import argparse
import os
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks"))
from registry import NETWORKS  # noqa: E402


def accuracy(model, x, y, batch=500):
    """Percent of the samples whose largest output is the label's."""
    model.eval()
    with torch.no_grad():
        return 100 * sum((model(x[i:i + batch]).argmax(1) == y[i:i + batch]).sum().item() for i in range(0, len(x), batch)) / len(x)


def train(network, model, epochs, report, rate=None):
    """Trains `model`; `rate` is the peak learning rate, the network's own without one."""
    torch.manual_seed(0)
    x, y = network.load("train")
    test_x, test_y = network.load("test")
    rate = rate or network.rate
    model, steps = model.to(memory_format=torch.channels_last), len(x) // network.batch * epochs
    if network.optimiser == "sgd":
        optimiser = torch.optim.SGD(model.parameters(), rate, 0.9, weight_decay=5e-4, nesterov=True)
    else:
        optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1)
    for epoch in range(epochs):
        model.train()
        start, order = time.time(), torch.randperm(len(x))
        for first in range(0, len(x) - network.batch + 1, network.batch):
            pick = order[first:first + network.batch]
            sample = x[pick]
            if network.flip:
                sample = torch.where(torch.rand(len(pick), 1, 1, 1) < 0.5, sample.flip(3), sample)
            if network.noise:
                sample = sample + network.noise * torch.randn_like(sample)
            if sample.dim() == 4:
                sample = sample.to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=network.bf16):
                loss = F.cross_entropy(model(sample).float(), y[pick])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        report(f"epoch {epoch + 1}: {time.time() - start:.0f} s, loss {loss.item():.3f}, "
               f"test {accuracy(model, test_x, test_y):.2f} %")
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--from", dest="start")
    parser.add_argument("--rate", type=float)
    a = parser.parse_args()
    torch.set_num_threads(1)
    for name in a.names or NETWORKS:
        network = NETWORKS[name]
        torch.manual_seed(0)
        start = network.build()
        if a.start:
            start.load_state_dict(torch.load(os.path.join(a.start, name + ".pth"), weights_only=True))
        model = train(network, start.float(), a.epochs or network.epochs, lambda text: print(name, text, flush=True), a.rate)
        state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
        torch.save(state, os.path.join(a.folder, name + ".pth"))
        model.load_state_dict(state)
        print(f"{name} stored in f16: test {accuracy(model, *network.load('test')):.2f} %", flush=True)


if __name__ == "__main__":
    main()
