#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Analysis + plan + rewrite against torch-pruning 1.6.1: same machine, same number of threads, in turn.

    compare_torch_pruning.py POLLARD_PIPELINE NETS_FOLDER [--repeat N] [--threads N]

NETS_FOLDER holds the .pt2 files of export_networks.py (resnet50 densenet121 vit_b_16 swin_t gpt2_12). The peer gets the
live module and no hint but its classifier (it needs that one); its time is building the pruner and one step at ratio
0.5. One thread: CPU seconds; more: seconds by the clock. A peer run longer than 60 s counts as 60. Prints a markdown table.
"""
import json
import multiprocessing
import os
import subprocess
import sys
import time
import warnings

THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else "1"
os.environ["OMP_NUM_THREADS"] = THREADS
warnings.filterwarnings("ignore")
NETWORKS = ["resnet50", "densenet121", "vit_b_16", "swin_t", "gpt2_12"]
LIMIT = 60


def build(name):
    import torch
    from torch import nn

    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import export_networks
    if name != "gpt2_12":
        import torchvision
        model = getattr(torchvision.models, name)(weights=None).eval()
        head = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == 1000]
        return model, torch.randn(1, 3, 224, 224), head, {}

    # transformers' own GPT-2 is invisible to the peer (its Conv1D), so it gets the same sizes with nn.Linear and
    # the head counts it asks for.
    class Block(nn.Module):
        def __init__(self, d=768, h=12):
            super().__init__()
            self.h, self.ln1, self.ln2 = h, nn.LayerNorm(d), nn.LayerNorm(d)
            self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            y = self.ln1(x)
            split = lambda t: t.view(t.shape[0], t.shape[1], self.h, -1).transpose(1, 2)
            a = nn.functional.scaled_dot_product_attention(split(self.q(y)), split(self.k(y)), split(self.v(y)), is_causal=True)
            x = x + self.o(a.transpose(1, 2).flatten(2))
            return x + self.down(nn.functional.gelu(self.up(self.ln2(x))))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(50257, 768), nn.Embedding(1024, 768)
            self.blocks, self.ln = nn.ModuleList(Block() for _ in range(12)), nn.LayerNorm(768)
            self.head = nn.Linear(768, 50257, bias=False)

        def forward(self, ids):
            x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.ln(x))

    model = Gpt().eval()
    heads = {m: 12 for b in model.blocks for m in (b.q, b.k, b.v)}
    return model, torch.randint(0, 1000, (2, 16)), [model.head], heads


def peer(name, queue):
    import torch
    import torch_pruning as tp
    torch.set_num_threads(int(THREADS))
    clock = time.process_time if THREADS == "1" else time.perf_counter
    times = []
    for _ in range(3):
        model, x, ignored, heads = build(name)
        start = clock()
        pruner = tp.pruner.BasePruner(model, x, importance=tp.importance.GroupMagnitudeImportance(p=2), pruning_ratio=0.5,
                                      ignored_layers=ignored, num_heads=dict(heads), in_channel_groups={}, out_channel_groups={})
        pruner.step()
        times.append(clock() - start)
        queue.put(sorted(times)[len(times) // 2])


def run_peer(name):
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=peer, args=(name, queue))
    process.start()
    process.join(3 * LIMIT)
    ended = not process.is_alive()
    if not ended:
        process.kill()
    result = None
    while not queue.empty():
        result = queue.get()
    return result, ended


def main():
    pipeline, nets = sys.argv[1], sys.argv[2]
    repeat = sys.argv[sys.argv.index("--repeat") + 1] if "--repeat" in sys.argv else "5"
    print("| network | ops | analyse ms | plan ms | rewrite ms | pollard ms | torch-pruning ms | ratio | peak / checkpoint | without LibTorch |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in NETWORKS:
        path = os.path.join(nets, name + ".pt2")
        ours = json.loads(subprocess.run([pipeline, "0.5", repeat, THREADS, path], check=True, capture_output=True, text=True).stdout)
        theirs, ended = run_peer(name)
        total = ours["analyse"] + ours["plan"] + ours["rewrite"]
        peer_text = f"{1e3 * theirs:.0f}" if theirs else ("does not end" if not ended else "error")
        ratio = f"{theirs / total:.0f}x" if theirs else (f"> {LIMIT / total:.0f}x" if not ended else "-")
        size = os.path.getsize(path)
        memory = ours["rss_peak_kib"] * 1024 / size
        own = (ours["rss_peak_kib"] - ours["rss_base_kib"]) * 1024 / size
        print(f"| {name} | {ours['ops']} | {1e3 * ours['analyse']:.1f} | {1e3 * ours['plan']:.1f} | {1e3 * ours['rewrite']:.1f} "
              f"| {1e3 * total:.1f} | {peer_text} | {ratio} | {memory:.2f} | {own:.2f} |", flush=True)


if __name__ == "__main__":
    main()
