# SPDX-License-Identifier: Apache-2.0
"""What nvcc makes of the CUDA kernels, without a GPU: no spills and no stack, on every architecture that is built.

    python check_registers.py NVCC ROOT FILE.cu...
"""
import re
import subprocess
import sys

nvcc, root, files = sys.argv[1], sys.argv[2], sys.argv[3:]
architectures = ["80", "90"]
failed = False
for file in files:
    generate = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    run = subprocess.run([nvcc, "-std=c++20", "-O2", f"-I{root}", *generate, "-Xptxas=-v", "-c", "-o", "/dev/null", file],
                         capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    kernels = re.findall(r"Compiling entry function '(\w+)' for 'sm_(\d+)'\n.*\n\s*(\d+) bytes stack frame, (\d+) bytes "
                         r"spill stores, (\d+) bytes spill loads\n.*Used (\d+) registers", run.stderr)
    if not kernels:
        sys.exit(f"{file}: ptxas named no kernel:\n{run.stderr}")
    for name, architecture, stack, stores, loads, registers in kernels:
        bad = int(stack) + int(stores) + int(loads) > 0
        failed |= bad
        print(f"{'FAILED' if bad else 'ok'} sm_{architecture} {registers} registers, stack {stack}, spills {stores}/{loads}: {name}")
sys.exit(1 if failed else 0)
