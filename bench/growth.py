#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the analysis against the number of ops, on generated programs, with fitted exponents.

    growth.py GROWTH OUT.svg [--repeat 3]

GROWTH is the program of bench/growth. Each point is a process of its own; CPU seconds are the least of its repeats. The
exponent is the slope of a straight line through the logarithms of the upper half of the points, where what every run costs no
longer counts.
"""
import argparse
import json
import math
import subprocess

LAYERS = {"transformer": [175, 350, 700, 1400, 2800], "dense": [2000, 4000, 8000, 16000, 32000],
          "shared": [3125, 6250, 12500, 25000, 50000], "nested": [3125, 6250, 12500, 25000, 50000]}
COLOURS = {"transformer": "#3b6ea5", "dense": "#c26a2d", "shared": "#4f8f4f", "nested": "#8a5fa8"}


def measure(program, kind, layers, repeat):
    runs = [json.loads(subprocess.run([program, kind, str(layers)], check=True, capture_output=True).stdout)
            for _ in range(repeat)]
    best = min(runs, key=lambda r: r["analyse_s"] + r["cost_s"])
    best["build_s"] = min(r["build_s"] for r in runs)
    return best


def exponent(points):
    """Slope of log y over log x, least squares, of the upper half."""
    points = [(math.log(x), math.log(y)) for x, y in points][len(points) // 2:]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def panel(series, left, title, unit, low, high):
    """Curves over ops on logarithmic axes, 300 x 240."""
    x_of = lambda ops: left + 50 + 240 * (math.log10(ops) - 3.5) / 1.8
    y_of = lambda y: 230 - 190 * (math.log10(y) - low) / (high - low)
    out = [f'<text x="{left + 50}" y="22" class="t">{title}</text>']
    for power in range(low, high + 1):
        y = y_of(10.0 ** power)
        label = f"{10 ** power:g} {unit}"
        out.append(f'<path d="M{left + 50} {y:.1f}H{left + 290}" class="g"/><text x="{left + 45}" y="{y + 4:.1f}" class="e">{label}</text>')
    for ops in (10_000, 100_000):
        out.append(f'<path d="M{x_of(ops):.1f} 40V230" class="g"/><text x="{x_of(ops):.1f}" y="246" class="m">{ops:,} ops</text>')
    for kind, points in series.items():
        line = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[kind]}" stroke-width="2"/>')
        out += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{COLOURS[kind]}"/>' for x, y in points]
    return out


def draw(times, memory, path):
    style = ("text{font:12px sans-serif;fill:#333}.t{font-weight:bold}.e{text-anchor:end;font-size:10px}"
             ".m{text-anchor:middle;font-size:10px}.g{stroke:#ddd;fill:none}")
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 290"><style>' + style + "</style>",
           '<rect width="640" height="290" fill="#fff"/>']
    out += panel(times, 10, "analysis, CPU time", "s", -3, 1) + panel(memory, 330, "peak memory of the process", "MiB", 1, 4)
    for i, kind in enumerate(times):
        out.append(f'<rect x="{60 + 140 * i}" y="264" width="10" height="10" fill="{COLOURS[kind]}"/>'
                   f'<text x="{75 + 140 * i}" y="273">{kind}</text>')
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("growth")
    parser.add_argument("svg")
    parser.add_argument("--repeat", type=int, default=3)
    o = parser.parse_args()
    times, memory = {}, {}
    print("| network | ops | groups | built in | analysed in | costs in | peak memory |\n|---|---|---|---|---|---|---|")
    for kind, layers in LAYERS.items():
        runs = [measure(o.growth, kind, n, o.repeat) for n in layers]
        for r in runs:
            print(f"| {kind} | {r['ops']:,} | {r['groups']:,} | {r['build_s']:.2f} s | {r['analyse_s']:.3f} s | "
                  f"{r['cost_s']:.3f} s | {r['peak_mib']:,} MiB |", flush=True)
        times[kind] = [(r["ops"], r["analyse_s"] + r["cost_s"]) for r in runs]
        memory[kind] = [(r["ops"], r["peak_mib"]) for r in runs]
        build = [(r["ops"], r["build_s"]) for r in runs]
        print(f"| {kind}, exponent | | | {exponent(build):.2f} | {exponent(times[kind]):.2f} | | {exponent(memory[kind]):.2f} |",
              flush=True)
    draw(times, memory, o.svg)


if __name__ == "__main__":
    main()
