#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a pruned .pt2 against its original with Python alone: no pollard code takes part.

    check_pruned.py ORIGINAL PRUNED [ORIGINAL PRUNED ...]

Loads both with torch.export.load, zeroes in the original every entry the plan inside PRUNED does not keep, runs both
in float64 on the example inputs, and compares. Groups the plan calls renormalised have no masked original in plain
PyTorch (norm statistics are over kept units there): with one of them pruned, only loading, running and finite outputs
are checked, and the line says so. Exit status 1 when any pair differs by more than 1e-10 of the largest output.
"""
import json
import sys
import warnings

import torch

warnings.filterwarnings("ignore")
TOLERANCE = 1e-10


def in_double(program):
    """The program as a module that computes in float64: weights and every dtype argument."""
    module = program.module(check_guards=False)
    for graph_module in module.modules():
        if not isinstance(graph_module, torch.fx.GraphModule):
            continue
        swap = lambda a: torch.float64 if a in (torch.float32, torch.float16, torch.bfloat16) else a
        for node in graph_module.graph.nodes:
            node.args = torch.fx.node.map_aggregate(node.args, swap)
            node.kwargs = torch.fx.node.map_aggregate(node.kwargs, swap)
            if "_assert_tensor_metadata" in str(node.target):
                node.args, node.kwargs = (node.args[0],), {}
        graph_module.recompile()
    return module.double()


def doubled(tree):
    return torch.utils._pytree.tree_map(
        lambda t: t.double() if isinstance(t, torch.Tensor) and t.is_floating_point() else t, tree)


def tensors(tree):
    return [t for t in torch.utils._pytree.tree_leaves(tree) if isinstance(t, torch.Tensor)]


def named_tensors(module):
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def mask(module, plan):
    kept = {p["name"]: p for p in plan["parameters"]}
    done = set()
    with torch.no_grad():
        for name, tensor in named_tensors(module):
            entry = kept.get(name)
            if entry is None or id(tensor) in done or name.endswith("running_var"):
                continue
            done.add(id(tensor))
            assert list(tensor.shape) == entry["shape"], name
            for dim, indices in entry["kept"].items():
                keep = torch.zeros(tensor.shape[int(dim)], dtype=torch.bool)
                keep[torch.tensor(indices)] = True
                shape = [1] * tensor.dim()
                shape[int(dim)] = -1
                tensor.mul_(keep.view(shape).to(tensor.dtype))


def check(original_path, pruned_path):
    extra = {"pollard.plan": ""}
    original = torch.export.load(original_path)
    pruned = torch.export.load(pruned_path, extra_files=extra)
    plan = json.loads(extra["pollard.plan"])
    args, kwargs = original.example_inputs
    args, kwargs = doubled(args), doubled(kwargs)
    renormalised = any(g["kind"] == "renormalised" and g["removed"] for g in plan["groups"])
    removed = sum(len(g["removed"]) for g in plan["groups"])
    with torch.no_grad():
        got = tensors(in_double(pruned)(*args, **kwargs))
        masked = in_double(original)
        if not renormalised:
            mask(masked, plan)
        want = tensors(masked(*args, **kwargs))
    assert [t.shape for t in got] == [t.shape for t in want]
    if renormalised:
        return all(bool(t.double().isfinite().all()) for t in got), f"renormalised: loads and runs, {removed} units removed"
    worst = max((float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-300)) for a, b in zip(got, want)), default=0.0)
    return worst <= TOLERANCE, f"{worst:.1e} relative, {removed} units removed"


def main():
    paths = sys.argv[1:]
    failures = 0
    for original, pruned in zip(paths[::2], paths[1::2]):
        try:
            ok, text = check(original, pruned)
        except Exception as error:
            ok, text = False, repr(error)[:400]
        failures += not ok
        print("ok  " if ok else "BAD ", original.rsplit("/", 1)[-1], text, flush=True)
    print(f"{len(paths) // 2 - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
