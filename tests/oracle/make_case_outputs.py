# SPDX-License-Identifier: Apache-2.0
"""Records what PyTorch computes for exported programs on their own sample inputs.

usage: make_case_outputs.py FOLDER...

Writes FOLDER/expected.json: for every *.pt2 and every tensor it returns, its shape, sum, L2 norm and up to 64 values
at evenly spaced flat indices, computed in float32 by torch.export.load(file).module().
"""
import json
import pathlib
import sys

import torch
import torch.utils._pytree as pytree


def summary(tensor):
    flat = tensor.detach().double().flatten()
    count = flat.numel()
    picks = min(64, count)
    index = [j * (count - 1) // max(1, picks - 1) for j in range(picks)]
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "sum": float(flat.sum()),
        "l2": float(flat.norm()),
        "index": index,
        "value": [float(flat[j]) for j in index],
    }


def outputs(path):
    program = torch.export.load(path)
    args, kwargs = program.example_inputs
    torch.manual_seed(0)
    with torch.no_grad():
        result = program.module()(*args, **kwargs)
    return [summary(leaf) for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def main():
    for folder in map(pathlib.Path, sys.argv[1:]):
        cases = {}
        for path in sorted(folder.glob("*.pt2")):
            if path.stem.startswith("refused_"):
                continue
            cases[path.stem] = outputs(path)
        text = json.dumps({"torch": torch.__version__, "cases": cases}, indent=0)
        (folder / "expected.json").write_text(text.replace("\n", " ").replace('], "', '],\n"') + "\n")
        print(f"{folder}: {len(cases)} programs")


if __name__ == "__main__":
    main()
