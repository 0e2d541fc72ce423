# SPDX-License-Identifier: Apache-2.0
"""Writes what PyTorch computes for tests/training: training.json and the exported networks that are trained there.

Schedules, optimisers and losses come from torch.optim and torch.nn.functional; F1 and SSIM are written out from their
definitions, window by window."""
import json
import os
import warnings

import torch
import torch.nn.functional as F
from torch import nn

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(0)
torch.set_num_threads(1)


def schedule(make, steps, rate):
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], rate)
    scheduler, rates = make(optimiser), []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


def schedules():
    s = torch.optim.lr_scheduler
    warm = lambda o: s.SequentialLR(o, [s.LinearLR(o, 0.01, total_iters=8), s.CosineAnnealingLR(o, 32, 0.02)], [8])
    return {"cosine": schedule(lambda o: s.CosineAnnealingLR(o, 40), 40, 0.1),
            "warm_cosine": schedule(warm, 40, 0.2),
            "step": schedule(lambda o: s.StepLR(o, 12, 0.3), 40, 0.1),
            "one-cycle": schedule(lambda o: s.OneCycleLR(o, 0.1, total_steps=40, cycle_momentum=False), 40, 0.1)}


def run_optimiser(make):
    x = nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
    optimiser = make([x])
    for step in range(6):
        x.grad = torch.sin(torch.arange(12.0).view(3, 4) + step) + 0.3 * x.detach()
        optimiser.step()
    return x.detach().flatten().tolist()


def optimisers():
    o = torch.optim
    return {"sgd": run_optimiser(lambda p: o.SGD(p, 0.05, momentum=0.9, weight_decay=0.01)),
            "nesterov": run_optimiser(lambda p: o.SGD(p, 0.05, momentum=0.8, nesterov=True)),
            "adamw": run_optimiser(lambda p: o.AdamW(p, 0.05, (0.9, 0.99), weight_decay=0.1))}


def losses():
    logits = torch.sin(torch.arange(20.0).view(4, 5) * 1.7) * 2
    labels = torch.tensor([1, 0, 4, 2])
    rows = torch.cos(torch.arange(24.0).view(2, 3, 4))
    marks = torch.tensor([[0, -100, 3], [1, 2, -100]])
    maps = torch.sin(torch.arange(48.0).view(2, 4, 2, 3))
    classes = torch.arange(12).view(2, 2, 3) % 4
    ids = torch.tensor([[0, 1, 2], [3, 3, 1]])
    bits = (torch.arange(20).view(4, 5) % 3 == 0).float()
    return {"cross_entropy": F.cross_entropy(logits, labels).item(),
            "smoothed": F.cross_entropy(logits, labels, label_smoothing=0.1).item(),
            "positions": F.cross_entropy(rows.flatten(0, 1), marks.flatten()).item(),
            "maps": F.cross_entropy(maps, classes).item(),
            "next_token": F.cross_entropy(rows[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item(),
            "binary": F.binary_cross_entropy_with_logits(logits, bits).item(),
            "mse": F.mse_loss(logits, bits).item(), "l1": F.l1_loss(logits, bits).item()}


def ssim(a, b):
    g = torch.exp(-torch.arange(-5, 6, dtype=torch.float64) ** 2 / (2 * 1.5 ** 2))
    w = torch.outer(g, g) / g.sum() ** 2
    total = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y:y + 11, x:x + 11], b[y:y + 11, x:x + 11]
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq, c = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum(), (w * (p - mp) * (q - mq)).sum()
            total.append((2 * mp * mq + 1e-4) * (2 * c + 9e-4) / ((mp ** 2 + mq ** 2 + 1e-4) * (vp + vq + 9e-4)))
    return torch.stack(total).mean().item()


def metrics():
    logits = torch.sin(torch.arange(140.0).view(20, 7) * 0.9)
    labels = torch.arange(20) * 3 % 7
    predicted = logits.argmax(1)
    f1, accuracy = [], []
    for c in range(7):
        hit = ((predicted == c) & (labels == c)).sum().item()
        said, true = (predicted == c).sum().item(), (labels == c).sum().item()
        precision, recall = hit / said if said else 0, hit / true if true else 0
        if said or true:
            f1.append(2 * precision * recall / (precision + recall) if hit else 0)
        if true:
            accuracy.append(recall)
    top5 = [labels[i] in logits[i].argsort(descending=True)[:5] for i in range(20)]
    a = (torch.sin(torch.arange(400.0, dtype=torch.float64).view(20, 20) * 0.37) + 1) / 2
    b = (a + 0.2 * torch.cos(torch.arange(400.0, dtype=torch.float64).view(20, 20) * 0.11)).clamp(0, 1)
    return {"top1": (predicted == labels).float().mean().item(), "top5": sum(map(int, top5)) / 20,
            "f1": sum(f1) / len(f1), "group-gap": max(accuracy) - min(accuracy), "ssim": ssim(a, b),
            "loss": F.cross_entropy(logits, labels).item()}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(x + self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


def trained():
    net = Net().eval()
    x = torch.sin(torch.arange(16 * 36.0).view(16, 1, 6, 6) * 0.31)
    y = torch.arange(16) % 4
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(net, (x[:2],), dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, os.path.join(HERE, "net.pt2"))
    torch.export.save(program.run_decompositions(), os.path.join(HERE, "net_decomposed.pt2"))
    net.train()
    weights = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() < 2]
    optimiser = torch.optim.SGD([{"params": weights, "weight_decay": 0.01}, {"params": rest}], 0.1, momentum=0.9)
    curve = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    state = {name: t.flatten().tolist() for name, t in net.state_dict().items() if t.is_floating_point()}
    return {"losses": curve, "state": state}


def dropout():
    """A network with dropout, exported for evaluation: as it is, and decomposed, where nothing is left of it."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Dropout(0.5), nn.Linear(40, 4)).eval()
    program = torch.export.export(net, (torch.zeros(2, 6),), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
    torch.export.save(program, os.path.join(HERE, "dropout.pt2"))
    torch.export.save(program.run_decompositions(), os.path.join(HERE, "dropout_decomposed.pt2"))


dropout()
out = {"schedules": schedules(), "optimisers": optimisers(), "losses": losses(), "metrics": metrics(), "trained": trained()}
with open(os.path.join(HERE, "training.json"), "w") as file:
    json.dump(out, file, indent=1)
    file.write("\n")
