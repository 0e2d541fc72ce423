#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a pruned .pt2 against its original with Python alone: no pollard code takes part.

    check_pruned.py [--dynamic] ORIGINAL PRUNED [ORIGINAL PRUNED ...]

Loads both with torch.export.load, zeroes in the original every entry the plan inside PRUNED does not keep, runs both
in float64 on the example inputs, and compares. Groups the plan calls renormalised have no masked original in plain
PyTorch (norm statistics are over kept units there): with one of them pruned, only loading, running and finite outputs
are checked, and the line says so. With --dynamic, programs with a symbolic batch also run the examples twice over in one
batch, and both halves must equal the single run. Exit status 1 when any pair differs by more than 1e-10 of the largest output.
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


def has_symbolic_batch(program):
    """Whether every input that is not a parameter has a symbolic first dimension, all of one symbol."""
    names = set(program.graph_signature.user_inputs)
    firsts = [node.meta["val"].shape[:1] for node in program.graph.nodes
              if node.op == "placeholder" and node.name in names and isinstance(node.meta.get("val"), torch.Tensor)]
    return bool(firsts) and len({str(f) for f in firsts}) == 1 and isinstance(firsts[0][0], torch.SymInt)


def check_twice(module, args, kwargs, single):
    """The same samples twice over in one batch: "" or what differs."""
    twice = lambda tree: torch.utils._pytree.tree_map(
        lambda t: torch.cat([t, t]) if isinstance(t, torch.Tensor) else t, tree)
    both = tensors(module(*twice(args), **twice(kwargs)))
    for a, b in zip(both, single):
        if b.dim() == 0 or a.shape[0] != 2 * b.shape[0]:
            continue
        for half in a.split(b.shape[0]):
            worst = float((half - b).abs().max() / b.abs().max().clamp_min(1e-300))
            if worst > TOLERANCE:
                return f"; the same samples in a larger batch differ by {worst:.1e}"
    return ""


def check(original_path, pruned_path, dynamic=False):
    extra = {"pollard.plan": ""}
    original = torch.export.load(original_path)
    pruned = torch.export.load(pruned_path, extra_files=extra)
    plan = json.loads(extra["pollard.plan"])
    args, kwargs = original.example_inputs
    args, kwargs = doubled(args), doubled(kwargs)
    renormalised = any(g["kind"] == "renormalised" and g["removed"] for g in plan["groups"])
    removed = sum(len(g["removed"]) for g in plan["groups"])
    with torch.no_grad():
        module = in_double(pruned)
        got = tensors(module(*args, **kwargs))
        symbolic = dynamic and has_symbolic_batch(pruned)
        batch = check_twice(module, args, kwargs, got) if symbolic else ""
        masked = in_double(original)
        if not renormalised:
            mask(masked, plan)
        want = tensors(masked(*args, **kwargs))
    assert [t.shape for t in got] == [t.shape for t in want]
    if renormalised:
        return not batch and all(bool(t.double().isfinite().all()) for t in got), f"renormalised: loads and runs, {removed} units removed{batch}"
    worst = max((float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-300)) for a, b in zip(got, want)), default=0.0)
    text = f"{worst:.1e} relative, {removed} units removed" + (", at two batch sizes" if symbolic else "")
    return worst <= TOLERANCE and not batch, text + batch


def main():
    dynamic = "--dynamic" in sys.argv
    paths = [path for path in sys.argv[1:] if path != "--dynamic"]
    failures = 0
    for original, pruned in zip(paths[::2], paths[1::2]):
        try:
            ok, text = check(original, pruned, dynamic)
        except Exception as error:
            ok, text = False, repr(error)[:400]
        failures += not ok
        print("ok  " if ok else "BAD ", original.rsplit("/", 1)[-1], text, flush=True)
    print(f"{len(paths) // 2 - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
