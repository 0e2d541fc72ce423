# SPDX-License-Identifier: Apache-2.0
"""Lowered programs against PyTorch eager, torch.compile and onnxruntime, on exported networks.

    python bench/kernels/against_others.py POLLARD_KERNEL_TIMES THREADS ROUNDS FILE.pt2...

Everything is a ratio to eager's time. Within a round the Python contestants run in turn, then pollard_kernel_times runs the
same file with LibTorch's operators (which is eager without Python) and lowered, in turn again. The best of all rounds
counts: on a shared machine the median says more about the neighbours. With one thread all count CPU seconds.
"""
import json
import os
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")
pollard, threads, rounds, files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
os.environ["OMP_NUM_THREADS"] = str(threads)
import torch  # noqa: E402

torch.set_num_threads(threads)
torch.set_grad_enabled(False)
clock = time.process_time if threads == 1 else time.perf_counter


def compiled(module, inputs):
    import torch._inductor.config as config

    config.freezing = True
    fast = torch.compile(module)
    fast(*inputs)
    return lambda: fast(*inputs)


def onnx(module, inputs):
    import onnxruntime

    path = "/tmp/pollard_against_others.onnx"
    torch.onnx.export(module, inputs, path, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs)}
    return lambda: session.run(None, feed)


def contestants(file):
    program = torch.export.load(file)
    inputs = program.example_inputs[0] if program.example_inputs else ()
    module = program.module()
    out = {"eager": lambda: module(*inputs)}
    for name, make in (("compile", compiled), ("onnxruntime", onnx)):
        try:
            out[name] = make(module, inputs)
        except Exception as error:  # noqa: BLE001: what a peer cannot run is part of the result
            print(f"{file}: {name}: {type(error).__name__}: {str(error)[:120]}", file=sys.stderr)
    return out


def pollard_times(file):
    run = subprocess.run([pollard, str(threads), "5", file], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)["fastest"]


print("| network | eager ms | torch.compile, frozen | onnxruntime | pollard's executor | lowered |")
print("|---|---|---|---|---|---|")
for file in files:
    runs = contestants(file)
    best = dict.fromkeys(runs, float("inf"))
    plain = lowered = float("inf")
    for run in runs.values():
        run()
    for _ in range(rounds):
        for _ in range(3):
            for name, run in runs.items():
                start = clock()
                run()
                best[name] = min(best[name], clock() - start)
        times = pollard_times(file)
        plain, lowered = min(plain, times[0]), min(lowered, times[1])
    eager = best["eager"]
    ratio = {name: f"{seconds / eager:.2f}" for name, seconds in best.items()}
    print(f"| {os.path.basename(file)[:-4]} | {1e3 * eager:.1f} | {ratio.get('compile', '-')} | "
          f"{ratio.get('onnxruntime', '-')} | {plain / eager:.2f} | **{lowered / eager:.2f}** "
          f"({lowered / plain:.2f} of the executor's) |", flush=True)
