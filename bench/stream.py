#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prunes a generated Llama checkpoint from disk to disk and compares with cp of the same files in the same run.

    stream.py POLLARD FOLDER [--layers 32] [--kills 10] [--ranks 1,2,4]

Writes bf16 shards of Llama-7B's shapes (random numbers; --layers N for less) to FOLDER/in, then:
  - cp of the shards, and `pollard prune --stream --params` to 75 %, in turn: seconds, GB/s, peak resident memory;
  - the result analysed again (`inspect`), its random slices compared by pollard and here by NumPy;
  - SIGKILL at random moments of the writing, then the same command until it succeeds: the same bytes as undisturbed;
  - mpirun with several ranks: the same plan and the same bytes.
Prints a table. Files of a run are left for a look and replaced by the next.
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy as np

SHAPES = {"self_attn.q_proj": (4096, 4096), "self_attn.k_proj": (4096, 4096), "self_attn.v_proj": (4096, 4096),
          "self_attn.o_proj": (4096, 4096), "mlp.gate_proj": (11008, 4096), "mlp.up_proj": (11008, 4096),
          "mlp.down_proj": (4096, 11008), "input_layernorm": (4096,), "post_attention_layernorm": (4096,)}
CONFIG = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
          "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
LAYERS_A_SHARD = 4


def tensors(layers):
    """(shard, name, shape), shard by shard."""
    yield 0, "model.embed_tokens.weight", (32000, 4096)
    for i in range(layers):
        for name, shape in SHAPES.items():
            yield i // LAYERS_A_SHARD, f"model.layers.{i}.{name}.weight", shape
    last = (layers - 1) // LAYERS_A_SHARD
    yield last, "model.norm.weight", (4096,)
    yield last, "lm_head.weight", (32000, 4096)


def bf16(rng, count):
    return (rng.standard_normal(count, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)


def generate(folder, layers):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    rng = np.random.default_rng(0)
    shards = {}
    for shard, name, shape in tensors(layers):
        shards.setdefault(shard, []).append((name, shape))
    index = {"metadata": {}, "weight_map": {}}
    block = bf16(rng, 1 << 24)
    for shard, members in shards.items():
        file = f"model-{shard + 1:05d}-of-{len(shards):05d}.safetensors"
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in members:
            size = 2 * int(np.prod(shape))
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
            offset += size
            index["weight_map"][name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(folder, file), "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name, shape in members:
                # One block of random numbers, begun elsewhere for each tensor and scaled by its rows' own factors.
                left, start = int(np.prod(shape)), int(rng.integers(1 << 24))
                while left:
                    part = block[start:start + left]
                    out.write(part.tobytes())
                    left -= len(part)
                    start = int(rng.integers(1 << 20))
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as out:
        json.dump(index, out)
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(dict(CONFIG, num_hidden_layers=layers), out)


def digest(folder):
    whole = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            whole.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def size(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def target(source):
    """75 % of the parameters."""
    with open(os.path.join(source, "config.json")) as file:
        layers = json.load(file)["num_hidden_layers"]
    return str(int(0.75 * sum(int(np.prod(shape)) for _, _, shape in tensors(layers))))


def prune(pollard, source, out, *more, ranks=0):
    shutil.rmtree(out, ignore_errors=True)
    launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)] if ranks else []
    line = launcher + [pollard, "prune", source, out, "--stream", "--params", target(source), "--json", *more]
    start = time.time()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(line)}: status {status}")
    return json.loads(text), time.time() - start, usage.ru_maxrss / 1024


def read_tensor(folder, name):
    with open(os.path.join(folder, "model.safetensors.index.json")) as file:
        shard = json.load(file)["weight_map"][name]
    with open(os.path.join(folder, shard), "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        entry = json.loads(file.read(length))[name]
        begin, end = entry["data_offsets"]
        return np.fromfile(file, np.uint16, (end - begin) // 2, offset=begin).reshape(entry["shape"])


def check_with_numpy(source, out, plan, count=12):
    """Whole tensors of the result are the plan's rows and columns of the original."""
    changed = random.Random(0).sample(plan["parameters"], min(count, len(plan["parameters"])))
    for entry in changed:
        want = read_tensor(source, entry["name"])
        for dim, kept in entry["kept"].items():
            want = np.take(want, kept, int(dim))
        assert np.array_equal(want, read_tensor(out, entry["name"])), entry["name"]
    return len(changed)


def kill_and_resume(pollard, source, out, undisturbed, seconds, kills):
    shutil.rmtree(out, ignore_errors=True)
    line = [pollard, "prune", source, out, "--stream", "--params", target(source), "--json"]
    killed, rng = 0, random.Random(1)
    while killed < kills:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(seconds * (0.45 + 0.55 * rng.random()))
        if process.poll() is not None:
            shutil.rmtree(out)
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        if os.path.exists(os.path.join(out, "model.safetensors.index.json")):  # killed while it checked what was whole already
            assert digest(out) == undisturbed, "an index beside other bytes"
            shutil.rmtree(out)
            continue
        killed += 1
    report = json.loads(subprocess.run(line, check=True, capture_output=True).stdout)
    assert digest(out) == undisturbed, "other bytes after resuming"
    return killed, report["resumed"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pollard")
    parser.add_argument("folder")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--kill-layers", type=int, default=8)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--ranks", default="1,2,4")
    o = parser.parse_args()
    path = lambda name: os.path.join(o.folder, name)
    generate(path("in"), o.layers)
    total = size(path("in"))
    rows = []
    for turn in range(2):
        shutil.rmtree(path("copy"), ignore_errors=True)
        start = time.time()
        subprocess.run(["cp", "-r", path("in"), path("copy")], check=True)
        subprocess.run(["sync"], check=True)
        copy = time.time() - start
        shutil.rmtree(path("copy"))
        report, seconds, memory = prune(o.pollard, path("in"), path("out"))
        rows.append((copy, seconds, memory))
        print(f"turn {turn + 1}: {total / 1e9:.2f} GB: cp {copy:.1f} s ({total / 1e9 / copy:.2f} GB/s), pollard {seconds:.1f} s "
              f"({total / 1e9 / seconds:.2f} GB/s, {copy / seconds:.2f} of cp), peak {memory:.0f} MiB", flush=True)
    print("numpy: %d tensors equal" % check_with_numpy(path("in"), path("out"), report["plan"]), flush=True)
    subprocess.run([o.pollard, "inspect", path("out"), "--json"], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(path("out"))
    generate(path("in"), o.kill_layers)
    report, seconds, _ = prune(o.pollard, path("in"), path("out"))
    undisturbed, plan = digest(path("out")), report["plan_sha256"]
    print("killed %d times, then resumed with %d files whole: same bytes"
          % kill_and_resume(o.pollard, path("in"), path("cut"), undisturbed, seconds, o.kills), flush=True)
    for ranks in [int(n) for n in o.ranks.split(",") if n]:
        report, seconds, _ = prune(o.pollard, path("in"), path("ranks"), ranks=ranks)
        same = report["plan_sha256"] == plan and digest(path("ranks")) == undisturbed
        print(f"{ranks} ranks: {seconds:.1f} s, {'same plan, same bytes' if same else 'DIFFERENT'}", flush=True)


if __name__ == "__main__":
    main()
