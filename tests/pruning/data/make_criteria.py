#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What every criterion should say about three small networks, computed with NumPy alone: criteria.json.

    make_criteria.py > criteria.json          (from this folder; torch only reads the .pt2 files' weights)

Samples are waves, x[i] = sin(0.37 i + 0.1) over the flat index, so both sides make them. Everything is f64. Least
squares are solved afresh for every candidate set, not by elimination. Keys: case, criterion text, then the group's
first parameter and dimension; values: one number a unit, before or after normalisation as the text says.
"""
import itertools
import json
import sys

import numpy as np
import torch

CASES = "../../cases/"


def weights(name):
    program = torch.export.load(CASES + name + ".pt2")
    return {k: v.detach().double().numpy() for k, v in program.state_dict.items()}


def wave(*shape):
    return np.sin(0.37 * np.arange(np.prod(shape)) + 0.1).reshape(shape)


def normalised(x):
    return x / x.mean()


def lamp(x):
    order = np.argsort(x, kind="stable")
    out = np.zeros_like(x)
    for rank, unit in enumerate(order):
        out[unit] = x[unit] / x[order[rank:]].sum()
    return out


def greedy(problems, units, ridge=1e-3):
    """problems: (C, W, columns of each unit). Error of every candidate set by a solve of its own."""
    def error(gone, c, w, columns):
        drop = [k for u in gone for k in columns[u]]
        keep = [k for k in range(len(c)) if k not in set(drop)]
        rest = c - c[:, keep] @ np.linalg.solve(c[np.ix_(keep, keep)], c[keep]) if keep else c
        return np.trace(w @ rest @ w.T)

    ridged = [(c + ridge * np.diag(c).mean() * np.eye(len(c)), w, columns) for c, w, columns in problems]
    gone, scores, before, floor = [], np.zeros(units), 0.0, 0.0
    for _ in range(units):
        left = [u for u in range(units) if u not in gone]
        errors = [sum(error(gone + [u], *p) for p in ridged) for u in left]
        best = int(np.argmin(errors))
        floor = max(floor, errors[best] - before)
        scores[left[best]] = floor
        before = errors[best]
        gone.append(left[best])
    return scores


def local(x, w, columns, bias=True):
    """A consumer relative to its own output energy; x [rows, columns], w [outputs, columns]."""
    c = np.cov(x.T, bias=True) if bias else x.T @ x / len(x)
    return c, w / np.sqrt(np.trace(w @ c @ w.T)), columns


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# One convolution, batch norm, ReLU, 2 x 2 means, batch norm of the flattened, linear --------------------------------
def patches(x):
    n, c, h, w = x.shape
    padded = np.zeros((n, c, h + 2, w + 2))
    padded[:, :, 1:-1, 1:-1] = x
    out = np.stack([padded[:, :, i:i + h, j:j + w] for i in range(3) for j in range(3)], 2)  # n c 9 h w
    return out.transpose(0, 3, 4, 1, 2).reshape(n, h * w, c * 9)


class Conv:
    """Forwards, and backwards by hand."""

    def __init__(self):
        self.p = weights("syn_flatten_bn_fc")
        p, self.n = self.p, 6
        self.x = wave(self.n, 3, 8, 8)
        self.rows = patches(self.x)                                     # n 64 27
        self.conv = self.rows @ p["a.0.weight"].reshape(8, 27).T + p["a.0.bias"]  # n 64 8
        self.s1 = p["a.1.weight"] / np.sqrt(p["a.1.running_var"] + 1e-5)
        self.y1 = (self.conv - p["a.1.running_mean"]) * self.s1 + p["a.1.bias"]
        relu = np.maximum(self.y1, 0).transpose(0, 2, 1).reshape(self.n, 8, 8, 8)
        self.flat = relu.reshape(self.n, 8, 4, 2, 4, 2).mean((3, 5)).reshape(self.n, 128)
        self.s2 = p["bn.weight"] / np.sqrt(p["bn.running_var"] + 1e-5)
        self.into_fc = (self.flat - p["bn.running_mean"]) * self.s2 + p["bn.bias"]
        self.out = self.into_fc @ p["fc.weight"].T + p["fc.bias"]
        self.labels = np.arange(self.n) % 5

    def gradients(self, loss):
        """dL_n / everything, sample by sample."""
        p, n = self.p, self.n
        g = self.out.copy() if loss == "norm" else softmax(self.out) - np.eye(5)[self.labels]
        out = {"out": g, "fc.bias": g, "fc.weight": g[:, :, None] * self.into_fc[:, None]}
        g = g @ p["fc.weight"]
        out["into_fc"] = g
        hat = (self.flat - p["bn.running_mean"]) / np.sqrt(p["bn.running_var"] + 1e-5)
        out["bn.weight"], out["bn.bias"] = g * hat, g
        g = (g * self.s2).reshape(n, 8, 4, 1, 4, 1) / 4 * np.ones((1, 1, 1, 2, 1, 2))
        g = g.reshape(n, 8, 64).transpose(0, 2, 1) * (self.y1 > 0)
        hat = (self.conv - p["a.1.running_mean"]) / np.sqrt(p["a.1.running_var"] + 1e-5)
        out["a.1.weight"], out["a.1.bias"] = (g * hat).sum(1), g.sum(1)
        g = g * self.s1
        out["conv"] = g
        out["a.0.bias"] = g.sum(1)
        out["a.0.weight"] = np.einsum("npo,npk->nok", g, self.rows).reshape(n, 8, 3, 3, 3)
        return out


def slabs(values):
    """Numbers of unit 0..7 in each parameter of the convolution's group, in program order."""
    def channels(x):
        return x.reshape(8, -1).sum(1)

    return [channels(values["a.0.weight"]), channels(values["a.0.bias"]), channels(values["a.1.weight"]),
            channels(values["a.1.bias"]), channels(values["bn.weight"]), channels(values["bn.bias"]),
            values["fc.weight"].reshape(5, 8, 16).sum((0, 2))]


def conv_case():
    net = Conv()
    p = net.p
    out = {}
    magnitude = np.mean(slabs({k: v ** 2 for k, v in p.items()}), 0)
    out["magnitude"] = normalised(magnitude)
    out["magnitude:p=1,reduce=max,normalize=none"] = np.max(slabs({k: abs(v) for k, v in p.items()}), 0)
    without = slabs({k: v ** 2 for k, v in p.items()})
    out["magnitude:biases=no"] = normalised(np.mean([without[k] for k in (0, 2, 4, 6)], 0))
    out["lamp"] = lamp(magnitude)
    scales = slabs({k: abs(v) for k, v in p.items()})
    out["bn-scale"] = normalised((scales[2] + scales[4]) / 2)
    rows = [p["a.0.weight"].reshape(8, 27), p["fc.weight"].reshape(5, 8, 16).transpose(1, 0, 2).reshape(8, 80)]
    out["fpgm"] = normalised(np.mean([np.linalg.norm(r[:, None] - r[None], axis=2).sum(1) for r in rows], 0))
    for loss in ("norm", "labels"):
        g = net.gradients(loss)
        change = {k: p[k] * g[k].mean(0) for k in p if k in g}
        text = f"loss={loss}"
        out[f"taylor:{text},normalize=none"] = np.mean(slabs({k: abs(v) for k, v in change.items()}), 0)
        out[f"taylor:form=joint,{text},normalize=none"] = np.mean([abs(s) for s in slabs(change)], 0)
        product = (g["into_fc"] * net.into_fc).reshape(net.n, 8, 16).sum(2)
        out[f"taylor:form=activation,{text},normalize=none"] = abs(product).mean(0)
        square = {k: 0.5 * p[k] ** 2 * (g[k] ** 2).mean(0) for k in p if k in g}
        out[f"fisher:{text}"] = np.sum(slabs(square), 0)
        a = net.rows.reshape(-1, 27).T @ net.rows.reshape(-1, 27) / (net.n * 64)
        s = g["conv"].reshape(-1, 8)
        lam, q = np.linalg.eigh(s.T @ s / len(s))
        mu, r = np.linalg.eigh(a)
        rotated = p["a.0.weight"].reshape(8, 27) @ r
        out[f"obd-c:{text}"] = [32 * sum(lam[j] * mu[k] * (q[u, j] * rotated[u, k]) ** 2
                                         for j in range(8) for k in range(27)) for u in range(8)]
    w = p["fc.weight"]
    rms = np.sqrt((net.into_fc ** 2).mean(0))
    out["wanda"] = normalised((rms * abs(w).sum(0)).reshape(8, 16).sum(1))
    flap = (net.into_fc.var(0, ddof=1) * (w ** 2).sum(0)).reshape(8, 16).sum(1)
    out["flap"] = (flap - flap.mean()) / flap.std(ddof=1)
    columns = np.arange(128).reshape(8, 16).tolist()
    out["least-squares:metric=local,swaps=0"] = greedy([local(net.into_fc, w, columns)], 8)
    g = net.gradients("norm")["out"]
    lam, q = np.linalg.eigh(g.T @ g / net.n)
    energy = (net.out ** 2).sum(1).mean()
    scaled = (q.T @ w) * np.sqrt(np.maximum(lam, 0) / energy)[:, None]
    out["least-squares:metric=output,loss=norm,swaps=0"] = greedy(
        [(np.cov(net.into_fc.T, bias=True), scaled, columns)], 8)
    return {text: {"a.0.weight:0": list(np.asarray(v))} for text, v in out.items()}


# Multi-head attention: heads and head dimensions -----------------------------------------------------------------------
def attention_case():
    p = weights("mha")
    n, t, h, d = 4, 8, 4, 16
    x = wave(n, t, 32)
    inp = x @ p["inp.weight"].T + p["inp.bias"]
    qkv = inp @ p["mha.in_proj_weight"].T + p["mha.in_proj_bias"]
    q, k, v = (z.reshape(n, t, h, d).transpose(0, 2, 1, 3) for z in np.split(qkv, 3, 2))
    q = q * 0.25
    mixed = (softmax(q @ k.transpose(0, 1, 3, 2)) @ v).transpose(0, 2, 1, 3).reshape(n * t, 64)
    w = p["mha.out_proj.weight"]
    by_unit = np.arange(64).reshape(h, d)
    out = {}
    grams = np.einsum("bhti,bhtj->bhij", q, q) * np.einsum("bhti,bhtj->bhij", k, k)
    scores = grams.sum((0, 1)) / (n * h * t * t)
    ones = np.ones((1, d))
    product = (scores, ones / np.sqrt(scores.sum()), [[i] for i in range(d)])
    out["least-squares:metric=local,swaps=0"] = {
        "heads": greedy([local(mixed, w, by_unit.tolist())], h),
        "dims": greedy([product, local(mixed, w, by_unit.T.tolist())], d)}
    rms = np.sqrt((mixed ** 2).mean(0)) * abs(w).sum(0)
    out["wanda"] = {"heads": normalised(rms.reshape(h, d).sum(1)),
                    "dims": normalised((np.sqrt(np.diag(scores)) + rms.reshape(h, d).sum(0)) / 2)}
    var = mixed.var(0, ddof=1) * (w ** 2).sum(0)
    out["flap:normalize=none"] = {"heads": var.reshape(h, d).sum(1)}
    inw = p["mha.in_proj_weight"].reshape(3, h, d, 64)
    ow = w.reshape(64, h, d)
    heads = [inw.transpose(1, 0, 2, 3).reshape(h, -1), ow.transpose(1, 0, 2).reshape(h, -1)]
    dims = [inw.transpose(2, 0, 1, 3).reshape(d, -1), ow.transpose(2, 0, 1).reshape(d, -1)]
    sums = lambda rows: normalised(
        np.mean([np.linalg.norm(r[:, None] - r[None], axis=2).sum(1) for r in rows], 0))
    out["fpgm"] = {"heads": sums(heads), "dims": sums(dims)}
    bias = p["mha.in_proj_bias"].reshape(3, h, d)
    out["magnitude"] = {
        "heads": normalised(((inw ** 2).sum((0, 2, 3)) + (bias ** 2).sum((0, 2)) + (ow ** 2).sum((0, 2))) / 3)}
    return {text: {("heads" if g == "heads" else "dims"): list(v) for g, v in groups.items()}
            for text, groups in out.items()}


# A bidirectional LSTM: hidden units of both directions, embedding dimensions ---------------------------------------------
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_states(x, p, suffix):
    """Hidden states [n, t, H]; x is already in the direction's order."""
    n, t, _ = x.shape
    H = p["rnn.weight_hh_l0"].shape[1]
    state, cell, out = np.zeros((n, H)), np.zeros((n, H)), []
    for step in range(t):
        gates = (x[:, step] @ p["rnn.weight_ih_l0" + suffix].T + p["rnn.bias_ih_l0" + suffix]
                 + state @ p["rnn.weight_hh_l0" + suffix].T + p["rnn.bias_hh_l0" + suffix])
        i, f, g, o = np.split(gates, 4, 1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        state = sigmoid(o) * np.tanh(cell)
        out.append(state)
    return np.stack(out, 1)


def lstm_case():
    p = weights("bilstm1")
    n, t, H = 32, 16, 64
    ids = (np.arange(n * t) * 7919 % 1000).reshape(n, t)
    x = p["emb.weight"][ids]
    forward = lstm_states(x, p, "")
    backward = lstm_states(x[:, ::-1], p, "_reverse")[:, ::-1]
    zero = np.zeros((n, 1, H))
    before = {"": np.concatenate([zero, forward[:, :-1]], 1), "_reverse": np.concatenate([backward[:, 1:], zero], 1)}
    last = np.concatenate([forward, backward], 2)[:, -1]
    units = [[i] for i in range(H)]
    out = {}
    rows = x.reshape(n * t, H)
    c = np.cov(rows.T, bias=True)
    out["least-squares:metric=local,swaps=0"] = {
        "emb.weight:1": greedy([local(rows, p["rnn.weight_ih_l0" + s], units) for s in ("", "_reverse")], H),
        **{f"rnn.weight_ih_l0{s}:0": greedy(
            [local(before[s].reshape(-1, H), p["rnn.weight_hh_l0" + s], units),
             local(last, p["fc.weight"], [[i + H * (s != "")] for i in range(H)])], H) for s in ("", "_reverse")}}
    rms = lambda y: np.sqrt((y.reshape(-1, y.shape[-1]) ** 2).mean(0))
    fc = rms(last) * abs(p["fc.weight"]).sum(0)
    out["wanda"] = {f"rnn.weight_ih_l0{s}:0": normalised(
        (rms(before[s]) * abs(p["rnn.weight_hh_l0" + s]).sum(0) + np.split(fc, 2)[s != ""]) / 2)
        for s in ("", "_reverse")}
    gates = lambda v: v.reshape(4, H, -1).sum((0, 2))
    square = {k: v ** 2 for k, v in p.items()}
    out["magnitude"] = {f"rnn.weight_ih_l0{s}:0": normalised(np.mean(
        [gates(square["rnn.weight_ih_l0" + s]), gates(square["rnn.weight_hh_l0" + s]),
         square["rnn.weight_hh_l0" + s].sum(0), gates(square["rnn.bias_ih_l0" + s]),
         gates(square["rnn.bias_hh_l0" + s]), np.split(square["fc.weight"].sum(0), 2)[s != ""]], 0))
        for s in ("", "_reverse")}
    return {text: {g: list(v) for g, v in groups.items()} for text, groups in out.items()}


if __name__ == "__main__":
    json.dump({"syn_flatten_bn_fc": conv_case(), "mha": attention_case(), "bilstm1": lstm_case()}, sys.stdout)
