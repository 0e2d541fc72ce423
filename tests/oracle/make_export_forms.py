# SPDX-License-Identifier: Apache-2.0
"""Exports small programs that use one feature of torch.export's file format each.

usage: make_export_forms.py FOLDER
"""
import pathlib
import sys

import torch
from torch import nn
from torch.export import Dim

FORMS = {}


def form(function):
    FORMS[function.__name__] = function
    return function


class Net(nn.Module):
    """A module made of named parts and a forward function."""

    def __init__(self, forward, **parts):
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self._forward(self, x)


def batch(limit=64):
    return Dim("batch", min=1, max=limit)


@form
def dynamic_batch_and_length():
    def forward(m, x):
        b, t = x.shape[0], x.shape[1]
        y = torch.relu_(m.first(x)).reshape(b * t, 6)
        return m.second(y).view(b, t, -1) + torch.arange(t, device=x.device).view(1, t, 1)

    net = Net(forward, first=nn.Linear(4, 6), second=nn.Linear(6, 3))
    return net, (torch.randn(2, 7, 4),), ({0: batch(), 1: Dim.DYNAMIC},)


@form
def size_arithmetic():
    def forward(m, x):
        n, t = x.shape[0], x.shape[1]
        half = x[:, : t // 2] * torch.sym_max(n, 4)
        shifted = half + (t - t // 2) + 2 * n - (n + 1) ** 2 + t % 3
        return m.out(shifted.mean(1, keepdim=True).expand(-1, 5)), torch.zeros(n * t + 1, t // 2)

    net = Net(forward, out=nn.Linear(5, 2))
    return net, (torch.randn(3, 8),), ({0: Dim("batch", min=1, max=64), 1: Dim.DYNAMIC},)


@form
def count_from_data():
    def forward(m, x):
        kept = x[x > 0]
        return m.scale * kept, kept.sum()

    return Net(forward, scale=nn.Parameter(torch.tensor(1.5))), (torch.randn(5, 4),), None


@form
def nested_inputs_and_outputs():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 6)

        def forward(self, x, flag, options, pair, none=None, *, gain):
            y = self.layer(x) * gain
            if flag:
                y = y * options["scale"] + options["shift"]
            return {"y": y, "pair": [pair[1] + 1, (pair[0], none)], "rows": x.shape[0], "list": [y.sum()]}

    args = (torch.randn(2, 4), True, {"scale": torch.tensor(2.0), "shift": torch.ones(6)},
            (torch.randn(3), torch.randn(2)))
    return Nested(), args, None, {"gain": torch.tensor(0.5)}


@form
def no_grad_region():
    def forward(m, x):
        with torch.no_grad():
            mask = torch.arange(x.shape[1]).float() * 2.5
            positive = torch.sigmoid(x)
        return m.layer(x * mask) + positive.sum(1, keepdim=True), mask

    return Net(forward, layer=nn.Linear(4, 3)), (torch.randn(2, 4),), ({0: batch()},)


@form
def autocast_region():
    def forward(m, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = torch.nn.functional.layer_norm(m.second(torch.relu(m.first(x))), (3,))
            z = torch.softmax(y @ y.transpose(0, 1), -1)
        with torch.autocast("cpu", enabled=False):
            w = m.first(x)
        return z.float(), w

    return Net(forward, first=nn.Linear(4, 6), second=nn.Linear(6, 3)), (torch.randn(2, 4),), None


@form
def counters_and_in_place_views():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(()))
            self.register_buffer("hidden", torch.randn(6), persistent=False)
            self.constant = torch.arange(6.0)
            self.layer = nn.Linear(4, 6)

        def forward(self, x):
            self.count.add_(1)
            y = self.layer(x)
            y[:, 0] = 0
            y[:, 1:3] += self.hidden[1:3]
            y.view(-1)[2::3].mul_(2)
            return y * self.constant + self.count, y

    return Counter(), (torch.randn(3, 4),), ({0: batch()},)


@form
def decomposed_buffer_mutation():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(4))

        def forward(self, x):
            self.mean.mul_(0.9).add_(0.1 * x.mean(0))
            return x - self.mean

    return Counter(), (torch.randn(3, 4),), None, {}, "decompose"


@form
def shared_storage():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            table = torch.randn(10, 4)
            self.a = nn.Parameter(table)
            self.tied = nn.Linear(4, 10)
            self.tied.weight = self.a
            self.register_buffer("transposed", table.t())
            self.register_buffer("rows", table[2:5])
            self.register_buffer("repeated", torch.randn(1, 3).expand(4, 3))
            self.register_buffer("strided", torch.randn(6, 6)[::2, 1::2])

        def forward(self, x):
            y = torch.nn.functional.embedding(x, self.a)
            z = self.tied(y) + y @ self.transposed
            return z, y @ self.rows.t() @ self.strided + self.repeated[0]

    return Shared(), (torch.randint(0, 10, (2, 3)),), None


@form
def channels_last_weights():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 3))
    return net.to(memory_format=torch.channels_last), (torch.randn(2, 3, 9, 9),), ({0: batch()},)


@form
def element_types():
    def forward(m, x):
        y = m.half_layer(x.bfloat16()).float() + m.doubles.float() + m.bytes.float() + m.flags
        rotated = torch.view_as_real(torch.view_as_complex(y.view(-1, 2, 2)) * m.turns)
        return rotated, y.to(torch.float64), (y > 0).to(torch.int8)

    turns = torch.polar(torch.ones(2), torch.tensor([0.3, 1.2]))
    net = Net(forward, half_layer=nn.Linear(3, 4).bfloat16())
    for name, tensor in {"doubles": torch.randn(4).double(), "bytes": torch.tensor([0, 1, 200, 255]).byte(),
                         "flags": torch.tensor([True, False, True, True]), "turns": turns}.items():
        net.register_buffer(name, tensor)
    return net, (torch.randn(2, 3),), None


@form
def several_results():
    def forward(m, x):
        a, b, c = m.layer(x).split([2, 3, 1], -1)
        values, order = b.topk(2, -1)
        top, _ = a.max(0)
        first, *_ = x.unbind(1)
        return values, top, first, order, torch.cat([a, c], 1).chunk(2, 1)[1], torch.stack([a, a * 2])

    return Net(forward, layer=nn.Linear(4, 6)), (torch.randn(2, 4),), None


@form
def lifted_constants():
    def forward(m, x):
        return m.layer(x) * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor(0.25), torch.full((2,), 7)

    net = Net(forward, layer=nn.Linear(4, 3))
    net.register_buffer("nothing", torch.zeros(0, 4))
    return net, (torch.randn(2, 4),), None


@form
def input_written_in_place():
    def forward(m, x):
        x.mul_(2)
        return m.layer(x), x

    return Net(forward, layer=nn.Linear(4, 3)), (torch.randn(2, 4),), None


@form
def recurrent_layers():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(4, 5, 2, batch_first=True, bidirectional=True, dropout=0.3)
            self.lstm = nn.LSTM(10, 3, batch_first=True)
            self.rnn = nn.RNN(3, 2, nonlinearity="relu")

        def forward(self, x):
            y, state = self.gru(x)
            z, (h, c) = self.lstm(y)
            return self.rnn(z)[0], state, h + c

    return Recurrent(), (torch.randn(2, 6, 4),), None


@form
def infinities_and_defaults():
    def forward(m, x):
        scores = m.layer(x).masked_fill(torch.eye(3, dtype=torch.bool), float("-inf"))
        return torch.softmax(scores, -1), torch.clamp(scores, min=-1e30, max=float("inf"))

    return Net(forward, layer=nn.Linear(4, 3)), (torch.randn(3, 4),), None


@form
def training_mode():
    class Training(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 6)
            self.norm = nn.BatchNorm1d(6)
            self.drop = nn.Dropout(0.0)

        def forward(self, x):
            return self.drop(self.norm(self.layer(x)))

    return Training(), (torch.randn(8, 4),), ({0: Dim("batch", min=2, max=64)},), {}, "train"


@form
def refused_cond():
    def forward(m, x):
        return torch.cond(x.sum() > 0, lambda v: m.layer(v), lambda v: m.layer(v) * 2, (x,))

    return Net(forward, layer=nn.Linear(4, 3)), (torch.randn(2, 4),), None


def export(name, folder):
    torch.manual_seed(0)
    net, args, dynamic, *rest = FORMS[name]()
    kwargs, mode = (rest + [{}, ""])[:2] if rest else ({}, "")
    net.train(mode == "train")
    program = torch.export.export(net, args, kwargs, dynamic_shapes=dynamic)
    if mode == "decompose":
        program = program.run_decompositions()
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else []:
            node.meta.pop("stack_trace", None)  # paths of the machine it was made on
    torch.export.save(program, folder / f"{name}.pt2")


def main():
    folder = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or FORMS:
        try:
            export(name, folder)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error)[:600]}")


if __name__ == "__main__":
    main()
