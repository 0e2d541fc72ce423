# SPDX-License-Identifier: Apache-2.0
"""What nvcc makes of the CUDA kernels, without a GPU: no spills and no stack, on every architecture that is built, and how many
blocks of the sizes that matter a multiprocessor holds at once.

    python check_registers.py NVCC ROOT FILE.cu...
"""
import re
import subprocess
import sys

nvcc, root, files = sys.argv[1], sys.argv[2], sys.argv[3:]
architectures = ["80", "90"]
# Kernel -> what it is launched for, threads a block, bytes of shared memory, blocks a multiprocessor must hold on sm_80 and sm_90.
SIZES = {
    "LstmCellELi8ELb1": [("LSTM, H 48, 8 sequences", 64, 4 * 24 * 48 + 16 * 48 * 48, (3, 5)),
                         ("LSTM, H 96, 8 sequences", 96, 4 * 24 * 96 + 16 * 96 * 96, (1, 1))],
    "LstmCellELi2ELb1": [("LSTM, H 48, 2 sequences", 64, 4 * 6 * 48 + 16 * 48 * 48, (4, 5))],
    "GruCellELi8ELb1": [("GRU, H 48, 8 sequences", 64, 4 * 16 * 48 + 12 * 48 * 48, (4, 5)),
                        ("GRU, H 96, 8 sequences", 96, 4 * 16 * 96 + 12 * 96 * 96, (1, 1))],
    "Bf16LstmELi3": [("LSTM in bf16, H 48", 192, 2 * 16 * 28 * 4 + 4 * 6 * 16 * 20 * 4, (4, 4))],
    "Bf16LstmELi6": [("LSTM in bf16, H 96", 384, 2 * 16 * 52 * 4 + 4 * 12 * 16 * 20 * 4, (1, 1))],
    "Bf16GruELi3": [("GRU in bf16, H 48", 192, 2 * 16 * 28 * 4 + 4 * 6 * 16 * 12 * 4, (4, 5))],
    "Bf16GruELi6": [("GRU in bf16, H 96", 384, 2 * 16 * 52 * 4 + 4 * 12 * 16 * 12 * 4, (1, 1))],
    "mlstm_kernelILi3": [("d 192", 256, 4 * 68 * (2 * 32 + 2 * 64), (1, 1))],
    "mix_kernel": [("focused attention, sums over keys", 256, 4 * 68 * 64, (2, 2))],
    "attend_kernel": [("focused attention, queries", 256, 4 * 68 * 64 + 128, (2, 2))],
    "masked_kernelILi1": [("masked attention, d 64", 256, 4 * 68 * (2 * 32 + 2 * 64), (2, 2))],
    "cascade_kernel": [("cascade, 7 x 7, c 16", 128, 4 * ((16 + 48) * 52 + 52 * 52 + 36 * 36 + 256), (4, 4)),
                       ("cascade, 7 x 7, c 64", 128, 4 * ((64 + 96) * 52 + 52 * 52 + 36 * 36 + 256), (3, 4)),
                       ("cascade, 7 x 7, c 96", 128, 4 * ((96 + 128) * 52 + 52 * 52 + 36 * 36 + 256), (2, 3)),
                       ("cascade, 4 x 4, c 96", 128, 4 * ((96 + 128) * 20 + 16 * 100 + 128 * 36 + 256), (3, 4))],
    "product_kernel": [("Monarch", 256, 4 * 68 * 2 * 32, (3, 3))],
    "tile_kernel": [("any", 128, 8 * 4 * 64, (12, 12))],
    "slice_kernelIj": [("any", 256, 0, (2, 2))],
}
SHARED = {"80": 164 << 10, "90": 228 << 10}  # of a multiprocessor; a block takes one KiB more than it asks for


def blocks_at_once(architecture, registers, threads, shared):
    """CUDA C++ Programming Guide, compute capabilities: 65,536 registers in pieces of 256 a warp, 64 warps, 32 blocks."""
    warps = -(-threads // 32)
    of_registers = 65536 // (-(-registers * 32 // 256) * 256) // warps
    return min(32, 64 // warps, of_registers, SHARED[architecture] // (shared + 1024))


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
        for what, threads, shared, least in (s for part, rows in SIZES.items() if part in name for s in rows):
            blocks = blocks_at_once(architecture, int(registers), threads, shared)
            few = blocks < least[architectures.index(architecture)]
            failed |= few
            print(f"{'FAILED' if few else 'ok'} sm_{architecture} {what}: {blocks} blocks of {threads} threads at once")
        print(f"{'FAILED' if bad else 'ok'} sm_{architecture} {registers} registers, stack {stack}, spills {stores}/{loads}: {name}")
sys.exit(1 if failed else 0)
