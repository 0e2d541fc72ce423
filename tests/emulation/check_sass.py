# SPDX-License-Identifier: Apache-2.0
"""What the CUDA kernels are made of, without a GPU: instructions that must be there, and those that must not.

    python check_sass.py NVCC ROOT

Needs cuobjdump and nvdisasm (the wheels nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm); status 77 where they are missing."""
import collections
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

NVCC, ROOT = sys.argv[1:3]
WHEELS = os.path.join(sysconfig.get_paths()["purelib"], "nvidia", "cu13", "bin")
PATH = os.pathsep.join([os.environ["PATH"], os.path.dirname(NVCC), WHEELS])

# Kernel (a part of its name) -> what its code must hold. Wide reads of shared memory feed the products; slices of whole
# quadruples move sixteen bytes at a time; sums are in double precision. In bf16 products are the tensor cores', gates come in
# the background and tangents are one instruction.
WANTED = {
    "recurrence": {r"LstmCellELi8ELb1": ["FFMA", "LDS.128"], r"LstmCellELi8ELb0": ["FFMA", "LDG.E.128"],
                   r"GruCellELi8ELb1": ["FFMA", "LDS.128"], r"GruCellELi2ELb0": ["FFMA", "LDG.E.128"]},
    "recurrence_bf16": {part: ["HMMA.16816.F32.BF16", "LDGSTS.E.BYPASS.128", "MUFU.TANH", "BAR.SYNC"]
                        for part in (r"Bf16LstmELi3", r"Bf16LstmELi6", r"Bf16GruELi3", r"Bf16GruELi6")},
    "mlstm": {r"mlstm_kernelILi3": ["FFMA", "LDS.128", "STS.128"], r"gates_kernel": ["SHFL.UP", "MUFU.EX2"]},
    "masked_attention": {r"masked_kernelILi1": ["FFMA", "LDS.128", "STS.128", "MUFU.EX2"]},
    "cascaded_attention": {r"cascade_kernel": ["FFMA", "LDS.128", "STS.128", "MUFU.EX2", "BAR.SYNC"]},
    "monarch": {r"product_kernel": ["FFMA", "LDS.128", "STS"]},
    "power_sums": {r"tile_kernel": ["DADD", "SHFL.BFLY"], r"join_kernelId": ["DADD", "LDG.E.64"]},
    "focused_attention": {r"scales_kernel": ["SHFL.BFLY", "FMNMX"], r"mix_kernel": ["FFMA", "LDS.128"],
                          r"attend_kernel": ["FFMA", "LDS.128"], r"join_kernelIf": ["FADD"]},
    "slice_rows": {r"slice_kernelI6float4": ["LDG.E.128", "STG.E.128"], r"slice_kernelIj": ["LDG.E", "STG.E"]},
}
# Local memory is a spill or an array with a run-time index; generic addresses are slower than named memory; atomics on
# numbers add in any order.
UNWANTED = [r"LDL", r"STL", r"LD\.E", r"ST\.E", r"ATOM", r"RED"]


def instructions(cubin):
    """{kernel: how often it has each instruction}"""
    text = subprocess.run(["cuobjdump", "--dump-sass", cubin], capture_output=True, text=True, check=True,
                          env=dict(os.environ, PATH=PATH)).stdout
    found, kernel = collections.defaultdict(collections.Counter), None
    for line in text.splitlines():
        if "Function :" in line:
            kernel = line.split(":")[1].strip()
        elif match := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.]*)", line):
            found[kernel][match[1]] += 1
    return found


if not (shutil.which("cuobjdump", path=PATH) and shutil.which("nvdisasm", path=PATH)):
    print("skipped: cuobjdump and nvdisasm are not installed")
    sys.exit(77)
failures = 0
with tempfile.TemporaryDirectory() as folder:
    for name, kernels in WANTED.items():
        for architecture in ("80", "90"):
            cubin = os.path.join(folder, f"{name}_{architecture}.cubin")
            subprocess.run([NVCC, "-std=c++20", "-O2", f"-I{ROOT}", "-cubin", f"-arch=sm_{architecture}", "-o", cubin,
                            os.path.join(ROOT, "kernels", "cuda", name + ".cu")], check=True)
            code = instructions(cubin)
            for kernel, counts in code.items():
                bad = [op for op in counts if any(re.match(unwanted + r"(\.|$)", op) for unwanted in UNWANTED)]
                if bad:
                    failures += 1
                    print(f"FAILED sm_{architecture} {kernel}: has {', '.join(bad)}")
            for pattern, wanted in kernels.items():
                for kernel in [k for k in code if pattern in k] or [None]:
                    missing = [op for op in wanted if kernel is None or not any(o.startswith(op) for o in code[kernel])]
                    failures += bool(missing)
                    counts = ", ".join(f"{op} {sum(n for o, n in code[kernel].items() if o.startswith(op))}"
                                       for op in wanted) if kernel else "no such kernel"
                    print(f"{'FAILED' if missing else 'ok'} sm_{architecture} {pattern}: {counts}")
sys.exit(1 if failures else 0)
