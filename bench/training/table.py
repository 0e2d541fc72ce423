#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DepGraph's table on data that can be had offline: dense, magnitude pruning with fine-tuning, torch-pruning's magnitude with
the same fine-tuning, and sparse training with least squares: as repaired, fine-tuned, and fine-tuned with distillation, at several
reductions of multiply-accumulates.

    POLLARD=build/cpu/bin/pollard table.py NAME [--speedups 2.1,2.5,8.9] [--epochs N] [--samples N] [--seed N] [--amp] [--only ours]
                           [--strength S] [--tune-epochs N] [--dense-on]

Names: resnet20, resnet56, vgg19, vit, sequencer (Fashion-MNIST), lstm, bilstm (JapaneseVowels), dgcnn (points on parametric solids), gat
(graphs of a stochastic block model). Everything has the same number of epochs, but fine-tuning where --tune-epochs says another; --dense-on gives the dense network
the same fine-tuning, to tell what pruning costs from what longer training gains. With --from FOLDER, dense is FOLDER/NAME.pth as
train_networks.py left it, and --rate is the learning rate of what follows. Training runs where --device auto finds a GPU on it;
otherwise with the number of threads that POLLARD_THREADS says, one unless set."""
import argparse
import os
import tempfile

import torch
from torch import nn

import common
import gat
from registry import NETWORKS

MEASURED = "test"


class BiLSTM(nn.Module):
    """Two bidirectional layers of 64 over the 12 coefficients of a vowel; the mean over time names one of 9 speakers."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(12, 64, 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(128, 9)

    def forward(self, x):
        return self.fc(self.lstm(x)[0].mean(1))


def solids(count, points, generator):
    """[n, 3, points] on the surfaces of spheres, cubes, cylinders, cones, tori and crosses, turned and noisy."""
    def direction(n):
        v = torch.randn(n, 3, generator=generator)
        return v / v.norm(dim=1, keepdim=True)

    def one(kind):
        u, v = torch.rand(points, generator=generator) * 2 * torch.pi, torch.rand(points, generator=generator)
        if kind == 0:
            return direction(points)
        if kind == 1:
            p = torch.rand(points, 3, generator=generator) * 2 - 1
            face = torch.randint(3, (points,), generator=generator)
            p[torch.arange(points), face] = p[torch.arange(points), face].sign()
            return p
        if kind == 2:
            return torch.stack([u.cos(), u.sin(), 2 * v - 1], 1)
        if kind == 3:
            return torch.stack([v * u.cos(), v * u.sin(), 1 - 2 * v], 1)
        if kind == 4:
            w = v * 2 * torch.pi
            return torch.stack([(1 + 0.4 * w.cos()) * u.cos(), (1 + 0.4 * w.cos()) * u.sin(), 0.4 * w.sin()], 1)
        p = 0.2 * (torch.rand(points, 3, generator=generator) * 2 - 1)
        axis = torch.randint(3, (points,), generator=generator)
        p[torch.arange(points), axis] = torch.rand(points, generator=generator) * 2 - 1
        return p

    clouds, labels = [], torch.arange(count) % 6
    for label in labels:
        turn = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
        cloud = one(int(label)) @ turn + 0.05 * torch.randn(points, 3, generator=generator)
        clouds.append((cloud / cloud.norm(dim=1).max()).T)
    return torch.stack(clouds), labels


class Task:
    def __init__(self, name, arguments):
        self.name, self.built_in, self.spec = name, None, None
        torch.manual_seed(arguments.seed)
        if name == "dgcnn":
            generator = torch.Generator().manual_seed(0)
            self.train, self.test = solids(arguments.samples or 1200, 128, generator), solids(300, 128, generator)
            self.built_in, self.spec = "dgcnn", arguments.spec
            self.options = ["--optimizer", "adamw", "--lr", 5e-3, "--batch", 32]
            self.model = None
            return
        if name == "gat":
            self.train, self.test, self.model = gat.load("train"), gat.load("test"), gat.GAT()
            common.export(self.model, self.train[0], "fresh.pt2")
            self.options = ["--optimizer", "adamw", "--lr", 5e-3, "--batch", 32]
            return
        network = NETWORKS["lstm" if name == "bilstm" else name]
        x, y = network.load("train")
        limit = arguments.samples or len(x)
        self.train, self.test = (x[:limit], y[:limit]), network.load("test")
        self.model = BiLSTM() if name == "bilstm" else network.build()
        if arguments.start:
            path = os.path.join(arguments.start, name + ".pth")
            self.model.load_state_dict(torch.load(path, weights_only=True))
            self.model.float()
        common.export(self.model, x, "dense.pt2" if arguments.start else "fresh.pt2")
        self.options = ["--optimizer", network.optimiser, "--lr", arguments.rate or network.rate, "--batch",
                        arguments.batch or network.batch]
        if network.flip:
            self.options += ["--augment", "RandomHorizontalFlip()"]
        if network.noise:
            self.options += ["--augment", f"GaussianNoise({network.noise})"]


parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--speedups", default="2.1,2.5,8.9")
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--samples", type=int, default=0)
parser.add_argument("--tune-epochs", type=int, help="of each fine-tuning; --epochs unless given")
parser.add_argument("--dense-on", action="store_true", help="a row of the dense network fine-tuned like the pruned ones")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--spec", default="")
parser.add_argument("--only", choices=["ours"], help="leave out magnitude's and the peer's rows")
parser.add_argument("--from", dest="start", type=os.path.abspath)
parser.add_argument("--rate", type=float)
parser.add_argument("--batch", type=int)
parser.add_argument("--strength", type=float, default=5e-4, help="of sparse training; AdamW, which divides by the gradient's size, wants less")
parser.add_argument("--amp", action="store_true", help="train in bf16 where autocast takes it")
arguments = parser.parse_args()


def accuracy(path):
    return 100 * common.pollard("eval", path, MEASURED + ".npz")["models"][0]["top1"]


def row(label, path, dense):
    cost = common.pollard("plan", path, "--ratio", 0.25)["totals"]["before"]
    print(f"{label:52} {accuracy(path):6.2f} %  MACs {dense / cost['macs']:5.2f}x  {cost['parameters']:,} parameters",
          flush=True)


def peer(task, speedup, tune, dense):
    """torch-pruning's magnitude at the same MACs, written as a program and fine-tuned by the same command."""
    from repair_table import peer_at
    label = f"{speedup}x: torch-pruning magnitude, fine-tuned"
    if task.model is None:
        return print(f"{label:52} not built as a Python module here", flush=True)
    try:
        task.model.load_state_dict(torch.export.load("dense.pt2").state_dict)
        x, y = task.train
        given = argparse.Namespace(train=(common.tensors(x) if isinstance(x, dict) else x, y))
        small, _ = peer_at(given, task.model.eval(), "magnitude", 1 / float(speedup), 0)
        common.export(small, x, "peer.pt2")
    except Exception as error:  # the peer's failures are a result
        return print(f"{label:52} fails: {type(error).__name__}", flush=True)
    common.pollard("finetune", "peer.pt2", "train.npz", "peer_tuned.pt2", *tune)
    row(label, "peer_tuned.pt2", dense)


def magnitude(task, speedup, how, tune, dense):
    """The usual way, by pollard and by torch-pruning."""
    common.pollard("prune", "dense.pt2", "magnitude.pt2", *how, "--criterion", "magnitude")
    common.pollard("finetune", "magnitude.pt2", "train.npz", "tuned.pt2", *tune)
    row(f"{speedup}x: magnitude, fine-tuned", "tuned.pt2", dense)
    peer(task, speedup, tune, dense)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    task = Task(arguments.name, arguments)
    common.save("train.npz", *task.train)
    common.save("test.npz", *task.test)
    common.save("calib.npz", common.first(task.train[0], 1000), task.train[1][:1000])
    if task.built_in:
        common.pollard("init", task.built_in, "fresh.pt2", *(["--spec", task.spec] if task.spec else []), "--seed",
                       arguments.seed)
    run = [*task.options, "--epochs", arguments.epochs, "--seed", arguments.seed, "--warmup", 0.5, "--force",
           *(["--amp"] if arguments.amp else [])]
    gentle = [str(float(v) / 2) if a == "--lr" else str(v) for a, v in zip(["", *run], run)]
    tune = [arguments.tune_epochs or v if a == "--epochs" else v for a, v in zip(["", *gentle], gentle)]
    if not arguments.start:
        common.pollard("train", "fresh.pt2", "train.npz", "dense.pt2", *run)
    dense = common.pollard("plan", "dense.pt2", "--ratio", 0.25)["totals"]["before"]["macs"]
    row("dense", "dense.pt2", dense)
    common.pollard("finetune", "dense.pt2", "train.npz", "sparse.pt2", *gentle, "--sparse", f"group-l2={arguments.strength}")
    row("dense after sparse training", "sparse.pt2", dense)
    if arguments.dense_on:
        common.pollard("finetune", "dense.pt2", "train.npz", "dense_on.pt2", *tune)
        row("dense, fine-tuned", "dense_on.pt2", dense)
    for speedup in arguments.speedups.split(","):
        how = ["--speedup", f"{speedup}x", "--force", "--max-ratio", 0.9]
        if arguments.only != "ours":
            magnitude(task, speedup, how, tune, dense)
        common.pollard("prune", "sparse.pt2", "repaired.safetensors", *how, "--calib", "calib.npz", "--criterion", "least-squares",
                       "--scope", "predicted")
        row(f"{speedup}x: sparse, least squares, not trained", "repaired.safetensors", dense)
        for label, parent in {"": ["--no-distill"], ", distilled": ["--distill", "sparse.pt2"]}.items():
            common.pollard("finetune", "repaired.safetensors", "train.npz", "ours.pt2", *tune, *parent)
            row(f"{speedup}x: sparse, least squares, fine-tuned{label}", "ours.pt2", dense)
