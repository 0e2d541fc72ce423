#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy after pruning without training or labels: pollard with and without repair, and torch-pruning 1.6.1.

    repair_table.py POLLARD FOLDER NAME [--macs 0.5 0.35] [--seeds 3] [--fine-tune] [--ablation]
                    [--repairs none least-squares] [--only ours|peer] [--methods magnitude least-squares FPGM]

FOLDER holds what export_trained.py wrote. A seed draws the 1,024 calibration samples (and Taylor's batch). Every row is
mean and spread (largest minus smallest) of the test accuracy over the seeds, at the share of MACs that stays. The peer
is searched for the ratio that meets the same share; "BN" re-estimates its batch norms on the calibration samples;
"1 epoch" trains it on all labelled training samples (seed 0), at a tenth of the learning rate it was trained with.
Prints a markdown table; seconds are of one `pollard prune`, all of it. One thread.
"""
import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from export_trained import load  # noqa: E402
from registry import NETWORKS  # noqa: E402
from train_networks import accuracy, train  # noqa: E402

PEER = ["magnitude", "Taylor", "FPGM", "BN scale"]
OURS = [("magnitude", "local"), ("least-squares", "predicted")]
ABLATION = [(c, s) for c in ("random", "magnitude", "flap", "least-squares")
            for s in ("local", "global", "predicted", "measured") if s != "predicted" or c == "least-squares"]
ABLATION += [(c, "local") for c in ("lamp", "bn-scale", "fpgm", "wanda")]


def evaluate(path, data):
    module = torch.export.load(path).module()
    module.eval = lambda: module  # exported modules have one mode
    return accuracy(module, *data)


def ours(a, seed, share, criterion, scope, repair):
    """Accuracy, share of MACs left, seconds."""
    source = os.path.join(a.folder, a.name + ".pt2")
    calib = os.path.join(a.folder, f"{a.name}.calib{seed}.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.pt2")
        line = [a.pollard, "prune", source, out, "--json", "--macs", str(int(share * a.dense_macs)), "--criterion", criterion,
                "--scope", scope, "--calib", calib, "--repair", repair, "--seed", str(seed), "--threads", "1"]
        start = time.time()
        done = subprocess.run(line, capture_output=True, text=True)
        seconds = time.time() - start
        if done.returncode:
            print(done.stderr, file=sys.stderr, flush=True)
            return None
        totals = json.loads(done.stdout)["plan"]["totals"]
        return evaluate(out, a.data), totals["after"]["macs"] / a.dense_macs, seconds


def importance(name):
    import torch_pruning as tp
    return {"magnitude": tp.importance.GroupMagnitudeImportance, "Taylor": tp.importance.GroupTaylorImportance,
            "FPGM": tp.importance.FPGMImportance, "BN scale": tp.importance.BNScaleImportance}[name]()


def peer_pruned(a, dense, name, ratio, seed):
    """torch-pruning's network at a ratio of its own; `a.train` holds its example inputs (a tensor or several) and labels."""
    import torch_pruning as tp
    model, (x, y) = copy.deepcopy(dense), a.train
    part = lambda pick: tuple(v[pick] for v in (x if isinstance(x, tuple) else (x,)))
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    heads = {m.qkv: m.heads for m in model.modules() if hasattr(m, "qkv")}
    pruner = tp.pruner.BasePruner(model, part(slice(2)), importance=importance(name), pruning_ratio=ratio, ignored_layers=[head],
                                  num_heads=heads, in_channel_groups={}, out_channel_groups={})
    if name == "Taylor":
        pick = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:1024]
        for i in range(0, len(pick), 128):
            F.cross_entropy(model(*part(pick[i:i + 128])), y[pick[i:i + 128]]).backward()
    pruner.step()
    model.zero_grad()
    return model.eval()


def peer_at(a, dense, name, share, seed):
    """torch-pruning's network at the ratio that meets the share of MACs, and the share that is left."""
    import torch_pruning as tp
    x = a.train[0]
    count = lambda m: tp.utils.count_ops_and_params(m, tuple(v[:1] for v in x) if isinstance(x, tuple) else x[:1])[0]
    low, high, full = 0.0, 0.95, count(dense)
    for _ in range(7):
        middle = (low + high) / 2
        if count(peer_pruned(a, dense, name, middle, seed)) / full > share:
            low = middle
        else:
            high = middle
    model = peer_pruned(a, dense, name, high, seed)
    return model, count(model) / full


def peer(a, dense, name, share, seed):
    """(Accuracy, share of MACs left) one-shot and after what may follow, at the ratio that meets the share."""
    model, left = peer_at(a, dense, name, share, seed)
    rows = {"": accuracy(model, *a.data)}
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms:
        fresh = copy.deepcopy(model)
        for norm in [m for m in fresh.modules() if isinstance(m, nn.BatchNorm2d)]:
            norm.reset_running_stats()
            norm.momentum = None
        pick = torch.randperm(len(a.train[0]), generator=torch.Generator().manual_seed(seed))[:1024]
        fresh.train()
        with torch.no_grad():
            for i in range(0, len(pick), 128):
                fresh(a.train[0][pick[i:i + 128]])
        rows[" + BN"] = accuracy(fresh, *a.data)
    if a.fine_tune and seed == 0:
        network = NETWORKS[a.name]
        tuned = train(network, model, 1, lambda text: None, network.rate / 10)
        rows[" + 1 epoch"] = accuracy(tuned, *a.data)
    return {label: (value, left) for label, value in rows.items()}


def row(label, share, results):
    """One table line from a list of (accuracy, share of MACs) over the seeds, or why there is none."""
    results = [r for r in results if r]
    if not results:
        return print(f"| {label} | {share} | - | refused | - |", flush=True)
    values = [r[0] for r in results]
    spread = max(values) - min(values)
    seconds = f"{sum(r[2] for r in results) / len(results):.0f}" if len(results[0]) > 2 else "-"
    print(f"| {label} | {share} | {results[0][1]:.3f} | {sum(values) / len(values):.2f} ({spread:.2f}) | {seconds} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pollard")
    parser.add_argument("folder")
    parser.add_argument("name")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.5, 0.35])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--fine-tune", action="store_true")
    parser.add_argument("--repairs", nargs="+", default=["none", "batchnorm", "least-squares"])
    parser.add_argument("--only", choices=["ours", "peer"])
    parser.add_argument("--methods", nargs="+", help="only these criteria, of both sides")
    a = parser.parse_args()
    torch.set_num_threads(1)
    dense, network = load(a.folder, a.name), NETWORKS[a.name]
    a.data, a.train = network.load("test"), network.load("train")
    inspected = subprocess.run([a.pollard, "inspect", os.path.join(a.folder, a.name + ".pt2"), "--json"], capture_output=True,
                               text=True, check=True)
    a.dense_macs = json.loads(inspected.stdout)["macs"]
    print(f"dense {accuracy(dense, *a.data):.2f} %\n\n| method | MACs wanted | left | accuracy (spread) | seconds |\n|---|---|---|---|---|")
    for share in a.macs:
        for name in [] if a.only == "ours" else PEER:
            if a.methods and name not in a.methods:
                continue
            try:
                results = [peer(a, dense, name, share, seed) for seed in range(a.seeds if name == "Taylor" else 1)]
            except Exception as error:  # the peer's failures are a result
                print(f"| torch-pruning {name} | {share} | - | fails: {type(error).__name__} | - |", flush=True)
                continue
            for label in results[0]:
                row(f"torch-pruning {name}{label}", share, [r[label] for r in results if label in r])
        if a.only == "peer":
            continue
        for criterion, scope in ABLATION if a.ablation else OURS:
            if a.methods and criterion not in a.methods:
                continue
            for repair in a.repairs:
                if repair == "batchnorm" and not any(isinstance(m, nn.BatchNorm2d) for m in dense.modules()):
                    continue
                results = [ours(a, seed, share, criterion, scope, repair) for seed in range(a.seeds)]
                row(f"pollard {criterion}, {scope}, repair {repair}", share, results)


if __name__ == "__main__":
    main()
