#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether our criteria choose the units that torch-pruning 1.6.1 chooses, on ResNet-50.

    compare_scores.py POLLARD FOLDER

Weights are random with every batch norm's scale and shift drawn, so that no two units tie. Half of every group goes,
group by group. The peer scores its groups of the dense network; ours come from the plan. Where the two differ, the
number of units that one side removes and the other keeps is shown. Gradients are of one batch of 8 images with labels.

The peer's Taylor means to count batch norms, but compares their pruning function with that of group norms, so they
never count; "mended" names the peer with the comparison put right.
"""
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import torch
import torch_pruning as tp
import torchvision
from torch import nn
from torch_pruning.pruner import function

warnings.filterwarnings("ignore")
PAIRS = [  # ours, theirs, what to know
    ("magnitude:p=2,biases=no", tp.importance.GroupMagnitudeImportance(p=2)),
    ("magnitude:p=1,biases=no", tp.importance.GroupMagnitudeImportance(p=1)),
    ("lamp:biases=no", tp.importance.LAMPImportance()),
    ("bn-scale", tp.importance.BNScaleImportance()),
    ("fpgm", tp.importance.FPGMImportance(p=2)),
    ("taylor:biases=no,batch=8", tp.importance.GroupTaylorImportance()),
    ("taylor:form=joint,biases=no,batch=8", tp.importance.GroupTaylorImportance(multivariable=True)),
]


def network():
    torch.manual_seed(0)
    model = torchvision.models.resnet50(weights=None).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model


def theirs(model, importance):
    """{parameter of the first layer: indices}, nothing being removed between groups."""
    pruner = tp.pruner.BasePruner(model, torch.randn(1, 3, 64, 64), importance=importance, pruning_ratio=0.5,
                                  ignored_layers=[model.fc], num_heads={}, in_channel_groups={}, out_channel_groups={})
    names = {id(m): n for n, m in model.named_modules()}
    return {names[id(group[0].dep.target.module)] + ".weight": set(group[0].idxs)
            for group in pruner.step(interactive=True)}


def ours(pollard, folder, criterion):
    out = os.path.join(folder, "plan.json")
    subprocess.run([pollard, "plan", os.path.join(folder, "resnet50.pt2"), "--ratio", "0.5", "--criterion", criterion,
                    "--calib", os.path.join(folder, "images.npz"), "--labels", os.path.join(folder, "labels.npy"),
                    "-o", out, "--force"], check=True, stdout=subprocess.DEVNULL)
    plan = json.load(open(out))
    kept = {}
    for parameter in plan["parameters"]:
        if "0" in parameter["kept"]:
            kept[parameter["name"]] = set(range(parameter["shape"][0])) - set(parameter["kept"]["0"])
    return kept


def main():
    pollard, folder = sys.argv[1], sys.argv[2]
    model = network()
    images, labels = torch.randn(8, 3, 64, 64), torch.arange(8) * 100
    np.savez(os.path.join(folder, "images.npz"), x=images.numpy())
    np.save(os.path.join(folder, "labels.npy"), labels.numpy())
    torch.export.save(torch.export.export(model, (images,)), os.path.join(folder, "resnet50.pt2"))
    nn.functional.cross_entropy(model(images), labels, reduction="mean").backward()
    print("| criterion | groups with the same units | units that differ |")
    print("|---|---|---|")
    group_norm = function.prune_groupnorm_out_channels
    for criterion, importance in PAIRS:
        a = ours(pollard, folder, criterion)
        for mended in (False, True) if criterion.startswith("taylor") else (False,):
            function.prune_groupnorm_out_channels = function.prune_batchnorm_out_channels if mended else group_norm
            b = theirs(model, importance)
            same = sum(a.get(name) == removed for name, removed in b.items())
            differ = sum(len(removed - a.get(name, set())) for name, removed in b.items())
            label = criterion + (" (peer mended)" if mended else "")
            print(f"| {label} | {same} of {len(b)} | {differ} of {sum(map(len, b.values()))} |", flush=True)


if __name__ == "__main__":
    main()
