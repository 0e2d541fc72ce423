#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a small GPT-2 on one thread, for docs/fairness.md, and stores it as its library would.

    bible -f -l 0 gen1:1-rev22:21 > kjv.txt        # Debian packages bible-kjv, bible-kjv-text
    train_small_lm.py kjv.txt OUT_FOLDER [--steps 600]

The text is the King James Version of 1611, whose copyright has expired. OUT_FOLDER gets model.safetensors, config.json,
vocab.json, merges.txt (byte-level BPE learnt here), and score.txt and judge.txt: chapters that were not trained on, to
choose heads by and to judge the choice by. Seed 0; 600 steps take a thread a few minutes.
"""
import argparse
import collections
import json
import os
import re
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

VOCABULARY, POSITIONS, WIDTH, LAYERS, HEADS = 2048, 128, 128, 6, 8
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def read(path):
    """The verses of every chapter, in order."""
    chapters = collections.OrderedDict()
    for line in open(path, encoding="ascii"):
        place, verse = line.rstrip("\n").split(" ", 1)
        chapters.setdefault(place.split(":")[0], []).append(verse)
    return ["\n".join(verses) + "\n" for verses in chapters.values()]


def printable(byte):
    """How token files write a byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(byte) if byte in plain else chr(256 + [b for b in range(256) if b not in plain].index(byte))


def learn_merges(text, count):
    """The most frequent pair of neighbours again and again, over the text's distinct words."""
    letters = {b: printable(b) for b in range(256)}
    words = [([letters[b] for b in word.encode()], n) for word, n in collections.Counter(WORDS.findall(text)).items()]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, (parts, n) in enumerate(words):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += n
            where[pair].add(i)
    merges = []
    while len(merges) < count:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for i in list(where[best]):
            parts, n = words[i]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= n
            merged, at = [], 0
            while at < len(parts):
                both = tuple(parts[at:at + 2]) == best
                merged.append("".join(parts[at:at + 2]) if both else parts[at])
                at += 2 if both else 1
            words[i] = (merged, n)
            for pair in zip(merged, merged[1:]):
                pairs[pair] += n
                where[pair].add(i)
        del pairs[best]
    return merges


class Encoder:
    def __init__(self, merges, ids):
        self.rank = {pair: i for i, pair in enumerate(merges)}
        self.ids, self.known = ids, {}

    def word(self, word):
        parts = [printable(b) for b in word.encode()]
        while len(parts) > 1:
            rank, at = min((self.rank.get(pair, len(self.rank)), i) for i, pair in enumerate(zip(parts, parts[1:])))
            if rank == len(self.rank):
                break
            parts[at:at + 2] = ["".join(parts[at:at + 2])]
        return [self.ids[part] for part in parts]

    def __call__(self, text):
        out = []
        for word in WORDS.findall(text):
            if word not in self.known:
                self.known[word] = self.word(word)
            out += self.known[word]
        return out


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        matrix = lambda a, b: torch.nn.Parameter(torch.randn(a, b) * 0.02)  # [in, out], as the library stores them
        zeros = lambda n: torch.nn.Parameter(torch.zeros(n))
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        self.qkv, self.qkv_bias = matrix(WIDTH, 3 * WIDTH), zeros(3 * WIDTH)
        self.proj, self.proj_bias = matrix(WIDTH, WIDTH), zeros(WIDTH)
        self.up, self.up_bias = matrix(WIDTH, 4 * WIDTH), zeros(4 * WIDTH)
        self.down, self.down_bias = matrix(4 * WIDTH, WIDTH), zeros(WIDTH)

    def forward(self, x):
        q, k, v = ((self.ln_1(x) @ self.qkv + self.qkv_bias).view(*x.shape[:2], 3, HEADS, WIDTH // HEADS)
                   .permute(2, 0, 3, 1, 4))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + mixed @ self.proj + self.proj_bias
        return x + F.gelu(self.ln_2(x) @ self.up + self.up_bias, approximate="tanh") @ self.down + self.down_bias

    NAMES = {"ln_1.weight": "ln_1.weight", "ln_1.bias": "ln_1.bias", "ln_2.weight": "ln_2.weight",
             "ln_2.bias": "ln_2.bias", "qkv": "attn.c_attn.weight", "qkv_bias": "attn.c_attn.bias",
             "proj": "attn.c_proj.weight", "proj_bias": "attn.c_proj.bias", "up": "mlp.c_fc.weight",
             "up_bias": "mlp.c_fc.bias", "down": "mlp.c_proj.weight", "down_bias": "mlp.c_proj.bias"}


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = torch.nn.Parameter(torch.randn(VOCABULARY, WIDTH) * 0.02)
        self.wpe = torch.nn.Parameter(torch.randn(POSITIONS, WIDTH) * 0.01)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = torch.nn.LayerNorm(WIDTH)

    def forward(self, ids):
        x = self.wte[ids] + self.wpe[:ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x) @ self.wte.T

    def state(self):
        out = {"transformer.wte.weight": self.wte, "transformer.wpe.weight": self.wpe,
               "transformer.ln_f.weight": self.ln_f.weight, "transformer.ln_f.bias": self.ln_f.bias}
        for i, block in enumerate(self.blocks):
            out |= {f"transformer.h.{i}.{name}": dict(block.named_parameters())[own] for own, name in Block.NAMES.items()}
        return {name: tensor.detach().clone().contiguous() for name, tensor in out.items()}


def loss_of(network, ids):
    return F.cross_entropy(network(ids[:, :-1]).float().flatten(0, 1), ids[:, 1:].flatten())


def held_out(network, ids):
    windows = ids[:len(ids) // POSITIONS * POSITIONS].view(-1, POSITIONS)
    with torch.no_grad():
        return sum(loss_of(network, windows[i:i + 16]).item() * len(windows[i:i + 16]) for i in range(0, len(windows), 16)) / len(windows)


def train(network, ids, check, steps, batch=16, rate=3e-3):
    decay = [p for p in network.parameters() if p.dim() > 1]
    rest = [p for p in network.parameters() if p.dim() <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], rate, betas=(0.9, 0.95))
    start = time.time()
    for step in range(steps):
        for group in optimiser.param_groups:  # warm up over 100 steps, then down in a line
            group["lr"] = rate * min(1, (step + 1) / 100) * max(0.02, 1 - step / steps)
        at = torch.randint(len(ids) - POSITIONS - 1, (batch, 1)) + torch.arange(POSITIONS + 1)
        loss = loss_of(network, ids[at])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 99:
            print(f"{step + 1} steps, {(step + 1) * batch * POSITIONS / 1e6:.2f} M tokens, {time.time() - start:.0f} s: "
                  f"loss {loss.item():.3f}, held out {held_out(network, check):.3f}", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("text")
    arguments.add_argument("out")
    arguments.add_argument("--steps", type=int, default=600)
    a = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.makedirs(a.out, exist_ok=True)
    chapters = read(a.text)
    parts = {"train": "", "score": "", "judge": ""}
    for i, chapter in enumerate(chapters):
        parts[{5: "score", 11: "judge"}.get(i % 24, "train")] += chapter
    merges = learn_merges(parts["train"], VOCABULARY - 257)
    tokens = [printable(b) for b in range(256)] + ["".join(pair) for pair in merges] + ["<|endoftext|>"]
    ids = {token: i for i, token in enumerate(tokens)}
    encode = Encoder(merges, ids)
    encoded = {name: torch.tensor(encode(text)) for name, text in parts.items()}
    print({name: f"{len(text)} bytes, {len(encoded[name])} tokens" for name, text in parts.items()}, flush=True)
    network = Network()
    train(network, encoded["train"], encoded["score"][:8192], a.steps)
    network.eval()
    print(f"held out, judge.txt: {held_out(network, encoded['judge']):.3f}")
    save_file(network.state(), os.path.join(a.out, "model.safetensors"))
    write = lambda name, text: open(os.path.join(a.out, name), "w").write(text)
    write("config.json", json.dumps({"model_type": "gpt2", "vocab_size": VOCABULARY, "n_positions": POSITIONS, "n_embd": WIDTH,
                                     "n_layer": LAYERS, "n_head": HEADS, "activation_function": "gelu_new"}))
    write("vocab.json", json.dumps(ids))
    write("merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    for name in ("score", "judge"):
        write(name + ".txt", parts[name])


if __name__ == "__main__":
    main()
