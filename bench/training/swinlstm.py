#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SwinLSTM on moving pictures (Moving-MNIST's rules, pictures of Fashion-MNIST): trained, pruned to half the
multiply-accumulates, fine-tuned. Prints the mean square errors.

    POLLARD=build/cpu/bin/pollard swinlstm.py [--clips N] [--epochs N] [--side N]"""
import argparse
import json
import os
import tempfile

import numpy as np
import torch

import common
import fashion_mnist

parser = argparse.ArgumentParser()
parser.add_argument("--clips", type=int, default=512)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--side", type=int, default=32)
parser.add_argument("--seen", type=int, default=4)
parser.add_argument("--predicted", type=int, default=4)
arguments = parser.parse_args()


def clips(count, seed):
    """[count, frames, 1, side, side]: two half-size pictures that move straight on and bounce off the edges."""
    pictures = fashion_mnist.load("train")[0][:, :, ::2, ::2].mul(0.353).add(0.286).clamp(0, 1)[:, 0].numpy()
    random, side, frames = np.random.default_rng(seed), arguments.side, arguments.seen + arguments.predicted
    out = np.zeros((count, frames, 1, side, side), np.float32)
    room = side - pictures.shape[1]
    for clip in out:
        for _ in range(2):
            picture, place = pictures[random.integers(len(pictures))], random.uniform(0, room, 2)
            speed = random.uniform(1, 3, 2) * random.choice([-1, 1], 2)
            for frame in clip:
                y, x = place.astype(int)
                region = frame[0, y:y + picture.shape[0], x:x + picture.shape[1]]
                np.maximum(region, picture, out=region)
                place = place + speed
                speed = np.where((place < 0) | (place > room), -speed, speed)
                place = np.clip(place, 0, room)
    return torch.from_numpy(out)


def error(path):
    return common.pollard("eval", path, "test.npz", "--batch", 16)["models"][0]["mse"]


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    spec = {"img_size": arguments.side, "embed_dim": 32, "depths": [2], "num_heads": [4], "window_size": 4,
            "t_in": arguments.seen, "t_out": arguments.predicted, "drop_path_rate": 0}
    with open("spec.json", "w") as file:
        json.dump(spec, file)
    common.pollard("init", "swinlstm_b", "fresh.pt2", "--spec", "spec.json")
    for name, count, seed in (("train", arguments.clips, 0), ("test", 64, 1)):
        frames = clips(count, seed)
        common.save(name + ".npz", frames[:, :arguments.seen], frames[:, 1:])
    run = ["--optimizer", "adamw", "--lr", 2e-3, "--batch", 16, "--epochs", arguments.epochs, "--warmup", 0.5, "--force",
           "--weight-decay", 1e-2, "--clip", 1]
    report = common.pollard("train", "fresh.pt2", "train.npz", "dense.pt2", *run)
    print("training loss by epoch:", *(f"{e['loss']:.5f}" for e in report["epochs"]))
    dense = error("dense.pt2")
    common.pollard("prune", "dense.pt2", "small.pt2", "--speedup", "2x", "--calib", "train.npz", "--samples", 64, "--force")
    pruned = error("small.pt2")
    common.pollard("finetune", "small.pt2", "train.npz", "tuned.pt2", *run, "--distill", "dense.pt2")
    tuned = error("tuned.pt2")
    print(f"test mse: fresh {error('fresh.pt2'):.5f}, dense {dense:.5f}, half the MACs {pruned:.5f}, "
          f"fine-tuned {tuned:.5f}: {100 * (tuned / dense - 1):+.1f} %")
