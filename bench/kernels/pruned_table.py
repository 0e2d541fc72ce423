#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What half the multiply-accumulates are worth by the clock, at batch 8: LibTorch's operators, the lowered program, onnxruntime.

    POLLARD=build/cpu/bin/pollard pruned_table.py [--threads 1] [--rounds 3] [NAME...]

Names: resnet50, vit_b_16, sequencer2d_s, bilstm, minilm (published sizes, fresh weights; texts of 64 tokens). Every network is
exported at batch 8, pruned by `--speedup 2x --scope local --round-to 16`, and both are exported to ONNX. In every round the
contestants run in turn; the least median counts. Give the machine to it alone: it goes by the clock."""
import argparse
import os
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training"))
from common import pollard  # noqa: E402

BATCH, TOKENS = 8, 64


class BiLstm(nn.Module):
    """Two bidirectional layers of 256 over embedded words, the mean over time classified."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10000, 256)
        self.rnn = nn.LSTM(256, 256, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(512, 4)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0].mean(1))


def build(name):
    images = (torch.randn(BATCH, 3, 224, 224),)
    if name in ("resnet50", "vit_b_16"):
        import torchvision
        network = getattr(torchvision.models, name)()
        if name == "vit_b_16":
            nn.init.normal_(network.heads.head.weight, std=0.02)
        return network, images
    if name == "sequencer2d_s":
        import timm
        return timm.create_model(name), images
    if name == "bilstm":
        return BiLstm(), (torch.randint(0, 10000, (BATCH, TOKENS)),)
    import transformers
    config = transformers.BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
                                     attn_implementation="sdpa")

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = transformers.BertModel(config, add_pooling_layer=False)

        def forward(self, tokens):
            return self.bert(tokens).last_hidden_state

    return Encoder(), (torch.randint(0, 30000, (BATCH, TOKENS)),)


def onnx_times(path, inputs, threads, runs):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs)}
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[2:]))


def measure(name, arguments):
    network, inputs = build(name)
    torch.export.save(torch.export.export(network.eval(), inputs), "dense.pt2")
    report = pollard("prune", "dense.pt2", "small.pt2", "--speedup", "2x", "--scope", "local", "--round-to", 16, "--no-verify",
                     "--force")
    totals = report["plan"]["totals"]
    for stem in ("dense", "small"):
        pollard("export", stem + ".pt2", stem + ".onnx", "--force")
    least = {}
    for _ in range(arguments.rounds):
        bench = pollard("bench", "dense.pt2", "small.pt2", "--kernels", "torch,pollard", "--repeat", arguments.repeat, "--warmup", 2,
                        threads=arguments.threads)
        found = {(r["model"].split(".")[0], r["kernels"]): 1e3 * r["median_s"] for r in bench["results"]}
        for stem in ("dense", "small"):
            found[stem, "onnx"] = onnx_times(stem + ".onnx", inputs, arguments.threads, arguments.repeat)
        for key, value in found.items():
            least[key] = min(value, least.get(key, value))
    cells = [f"{least['dense', k]:.1f} -> {least['small', k]:.1f} ({least['dense', k] / least['small', k]:.2f}x)"
             for k in ("torch", "pollard", "onnx")]
    macs = totals["before"]["macs"] / totals["after"]["macs"]
    print(f"| {name} | {macs:.2f}x | {' | '.join(cells)} | {least['dense', 'torch'] / least['small', 'pollard']:.2f}x |", flush=True)


parser = argparse.ArgumentParser()
parser.add_argument("names", nargs="*", default=["resnet50", "vit_b_16", "sequencer2d_s", "bilstm", "minilm"])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--repeat", type=int, default=5)
arguments = parser.parse_args()
torch.manual_seed(0)
print("| network | fewer MACs | LibTorch's operators, ms | lowered, ms | onnxruntime, ms | dense LibTorch to small lowered |\n|---|---|---|---|---|---|")
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name in arguments.names:
        measure(name, arguments)
