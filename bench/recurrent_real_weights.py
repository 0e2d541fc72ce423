#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trained recurrent networks: parity with their packages, and what is left of them with hidden units removed.

    recurrent_real_weights.py POLLARD OUT_FOLDER     # pip: silero-vad, Resemblyzer (their weights only), torch, safetensors

Loads silero-vad's 16 kHz detector and Resemblyzer's speaker encoder and compares them with tests/golden/*_real.json. Prunes
hidden units of silero's LSTM at several ratios (by magnitude, by magnitude with repair, and at random, three seeds) and
measures how far each is from the dense network on synthetic signals held out from the repair's samples. No speech ships
with the package, so fidelity to the dense network is all that can be said honestly. Prints a markdown table and writes
OUT_FOLDER/silero_fidelity.svg.
"""
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "tests", "golden")
RATIOS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
COLORS = {"magnitude + repair": "#0b6e4f", "magnitude": "#1f4e9c", "random": "#b5541c"}
sys.path.insert(0, GOLDEN)
import goldfill  # noqa: E402


def package_file(package, *path):
    return os.path.join(importlib.util.find_spec(package).submodule_search_locations[0], *path)


def frames(signal):
    """[B, samples] at 16 kHz -> [B, T, 64 of context + 512]."""
    padded = torch.nn.functional.pad(signal, (64, 0))
    return torch.stack([padded[:, i:i + 576] for i in range(0, signal.shape[1] - 511, 512)], 1).contiguous()


def golden_signal():
    t = torch.arange(6144, dtype=torch.float32) / 16000
    tone = sum(a * torch.sin(2 * math.pi * f * t) for f, a in ((140, 1), (280, 0.6), (700, 0.4), (1200, 0.3)))
    noise = torch.as_tensor(goldfill.unit("input:0", (1, 6144)))
    return (0.3 * torch.sin(2 * math.pi * 4 * t).clamp_min(0) * tone)[None] + 0.01 * noise


def voices(count, seed, seconds=2):
    """Harmonics under an envelope of syllables, between pauses, in noise of several strengths."""
    g = torch.Generator().manual_seed(seed)
    rand = lambda low, high: low + (high - low) * torch.rand(count, 1, generator=g)
    t = torch.arange(seconds * 16000)[None] / 16000
    pitch = rand(90, 260) * (1 + 0.05 * torch.sin(2 * math.pi * rand(2, 6) * t))
    phase = 2 * math.pi * pitch.cumsum(1) / 16000
    tone = sum(rand(0.1, 1) / k * torch.sin(k * phase) for k in range(1, 12))
    envelope = torch.sin(2 * math.pi * rand(2, 6) * t + rand(0, 6)).clamp_min(0)
    talking = (torch.sin(2 * math.pi * rand(0.3, 0.8) * t + rand(0, 6)) > 0).float()
    noise = torch.randn(count, t.shape[1], generator=g) * 10 ** rand(-3, -1)
    return rand(0.02, 0.3) * tone * envelope * talking + noise


def files(folder):
    """The two networks as safetensors files; Resemblyzer's is a pickle of an old kind, read by PyTorch."""
    encoder = os.path.join(folder, "resemblyzer.safetensors")
    state = torch.load(package_file("resemblyzer", "pretrained.pt"), map_location="cpu", weights_only=True)["model_state"]
    save_file({k: v.contiguous() for k, v in state.items()}, encoder)
    return {"silero-vad": package_file("silero_vad", "data", "silero_vad_16k.safetensors"), "Resemblyzer": encoder}


def pollard(*arguments):
    done = subprocess.run([sys.argv[1], *arguments, "-q"], capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)


def run(path, inputs):
    with torch.no_grad():
        return torch.export.load(path).module()(inputs.float())


def parity(name, path):
    if name == "silero-vad":
        g = json.load(open(os.path.join(GOLDEN, "silero_vad_real.json")))
        return (run(path, frames(golden_signal()))[0] - torch.tensor(g["probabilities_safetensors"])).abs().max().item()
    g = json.load(open(os.path.join(GOLDEN, "resemblyzer_real.json")))
    mel = torch.as_tensor(goldfill.unit("input:0", (3, 160, 40))).abs()
    return (run(path, mel) - torch.tensor(g["embedding"])).abs().max().item()


def curve(folder, dense_path):
    """For each way and ratio: mean |p - p of the dense network|, and how often both decide alike at 0.5."""
    held_out, small = frames(voices(64, 1)), os.path.join(folder, "small.pt2")
    calibration = os.path.join(folder, "samples.safetensors")
    save_file({"frames": frames(voices(64, 2))}, calibration)
    dense = run(dense_path, held_out)
    ways = {"magnitude + repair": [["--calib", calibration]], "magnitude": [["--no-repair"]],
            "random": [["--criterion", "random", "--no-repair", "--seed", str(seed)] for seed in (1, 2, 3)]}
    results = {way: [] for way in ways}
    for ratio in RATIOS:
        for way, variants in ways.items():
            each = []
            for options in variants:
                pollard("prune", dense_path, small, "--ratio", str(ratio), "--only", "lstm_cell.*", "--force", *options)
                p = run(small, held_out)
                each.append(((dense - p).abs().mean().item(), ((dense > 0.5) == (p > 0.5)).float().mean().item()))
            results[way].append(tuple(sum(v) / len(v) for v in zip(*each)))
    print(f"{dense.numel()} frames, {(dense > 0.5).float().mean():.0%} of them speech to the dense network")
    return results


def table(results):
    print("\n| hidden units removed | " + " | ".join(f"{way}: mean \\|p - p dense\\| | same decision" for way in results) + " |")
    print("|---" * (1 + 2 * len(results)) + "|")
    for i, ratio in enumerate(RATIOS):
        print(f"| {ratio:.0%} | " + " | ".join(f"{v[i][0]:.3f} | {v[i][1]:.1%}" for v in results.values()) + " |")


def draw(results, path):
    left, width, height, top = 60, 420, 220, 40
    highest = max(v[0] for values in results.values() for v in values)
    x = lambda ratio: left + width * ratio
    y = lambda value: top + height * (1 - value / highest)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 310" font-family="sans-serif" font-size="12">',
           '<rect width="520" height="310" fill="#fff"/>',
           f'<text x="{left}" y="24" font-weight="bold">silero-vad: mean |p - p of the dense network|</text>',
           f'<path d="M{left} {top}V{top + height}H{left + width}" stroke="#444" fill="none"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        out.append(f'<text x="{x(tick)}" y="{top + height + 16}" text-anchor="middle">{tick:.0%}</text>')
        out.append(f'<text x="{left - 6}" y="{y(tick * highest) + 4:.0f}" text-anchor="end">{tick * highest:.2f}</text>')
    for n, (way, values) in enumerate(results.items()):
        points = " ".join(f"{x(r):.1f},{y(v[0]):.1f}" for r, v in zip([0] + RATIOS, [(0, 0)] + values))
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLORS[way]}" stroke-width="2"/>')
        out.append(f'<text x="{left + 10}" y="{top + 12 + 15 * n}" fill="{COLORS[way]}">{way}</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 36}" text-anchor="middle">hidden units of the LSTM removed</text>')
    with open(path, "w") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, weights in files(folder).items():
            dense_path = os.path.join(folder, name + ".pt2")
            pollard("export", weights, dense_path)
            print(f"{name}: largest difference from its golden {parity(name, dense_path):.1e}", flush=True)
        results = curve(folder, os.path.join(folder, "silero-vad.pt2"))
    table(results)
    draw(results, os.path.join(sys.argv[2], "silero_fidelity.svg"))


if __name__ == "__main__":
    main()
