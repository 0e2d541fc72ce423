# SPDX-License-Identifier: Apache-2.0
"""Checks that .pt2 files pollard rewrote without change are to PyTorch what the originals are.

usage: check_roundtrip.py ORIGINAL_FOLDER REWRITTEN_FOLDER [NAME...]

For every file: equal outputs on the sample inputs, bit for bit; the same state dict, ties, parameters, range
constraints, signature and sample inputs; and equal outputs at other sizes where sizes are symbolic.
"""
import pathlib
import sys

import torch
import torch.utils._pytree as pytree


def leaves(tree):
    return pytree.tree_leaves(tree)


def require_equal(what, a, b):
    same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    if isinstance(a, torch.Tensor) and a.is_floating_point() and not same:
        same = torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())
    if not same:
        raise AssertionError(f"{what} differs")


def run(program, inputs):
    args, kwargs = inputs
    torch.manual_seed(0)
    with torch.no_grad():
        return program.module()(*pytree.tree_map(clone, args), **pytree.tree_map(clone, kwargs))


def clone(leaf):
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def ties(program):
    """Names of one tensor, as a set of frozen sets. Views that differ become tensors of their own."""
    owners = {}
    for name, tensor in program.state_dict.items():
        if tensor.numel():
            owners.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), set()).add(name)
    return {frozenset(names) for names in owners.values() if len(names) > 1}


def ranges(program):
    return {str(symbol): str(limits) for symbol, limits in program.range_constraints.items()}


def other_sizes(program):
    """The sample inputs with every symbolic size changed, or None where there is none."""
    wanted = {}
    for symbol, limits in program.range_constraints.items():
        low, high = int(limits.lower), limits.upper
        wanted[str(symbol)] = min(low + 3, int(high)) if high.is_Integer else low + 3
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names = iter(program.graph_signature.user_inputs)
    changed = False

    def resize(leaf):
        nonlocal changed
        fake = values.get(next(names))
        if not isinstance(leaf, torch.Tensor) or fake is None:
            return leaf
        index = leaf
        for dim, size in enumerate(fake.shape):
            if isinstance(size, torch.SymInt) and str(size) in wanted:
                rows = torch.arange(wanted[str(size)]) % index.shape[dim]
                index, changed = index.index_select(dim, rows), True
        return index

    flat, spec = pytree.tree_flatten(program.example_inputs)
    resized = [resize(leaf) for leaf in flat]
    return pytree.tree_unflatten(resized, spec) if changed else None


def check(original_path, rewritten_path):
    original, rewritten = torch.export.load(original_path), torch.export.load(rewritten_path)
    require_equal("signature", str(original.graph_signature), str(rewritten.graph_signature))
    require_equal("range constraints", ranges(original), ranges(rewritten))
    require_equal("state dict names", set(original.state_dict), set(rewritten.state_dict))
    for name, tensor in original.state_dict.items():
        require_equal(f"weight {name}", tensor, rewritten.state_dict[name])
        require_equal(f"kind of {name}", type(tensor), type(rewritten.state_dict[name]))
        if isinstance(tensor, torch.nn.Parameter):
            require_equal(f"requires_grad of {name}", tensor.requires_grad, rewritten.state_dict[name].requires_grad)
            require_equal(f"strides of {name}", tensor.stride(), rewritten.state_dict[name].stride())
    require_equal("ties", ties(original), ties(rewritten))
    for mine, other in zip(leaves(original.example_inputs), leaves(rewritten.example_inputs), strict=True):
        require_equal("sample input", mine, other)
    require_equal("in_spec", original.call_spec.in_spec, rewritten.call_spec.in_spec)
    require_equal("out_spec", original.call_spec.out_spec, rewritten.call_spec.out_spec)
    at_sizes = [original.example_inputs, other_sizes(original)]
    for inputs in filter(None, at_sizes):
        for mine, other in zip(leaves(run(original, inputs)), leaves(run(rewritten, inputs)), strict=True):
            require_equal("output", mine, other)
    return sum(inputs is not None for inputs in at_sizes)


def main():
    original, rewritten, *names = sys.argv[1:]
    paths = sorted(pathlib.Path(original).glob("*.pt2"))
    failures, checked = 0, 0
    for path in paths:
        if path.stem.startswith("refused_") or (names and path.stem not in names):
            continue
        try:
            runs = check(path, pathlib.Path(rewritten) / path.name)
            checked += 1
            print(f"{path.stem}: equal ({runs} sizes)" if runs > 1 else f"{path.stem}: equal")
        except Exception as error:  # one bad file must not hide the others
            failures += 1
            print(f"{path.stem}: {type(error).__name__}: {str(error)[:2000]}")
    print(f"{checked} of {checked + failures} equal")
    sys.exit(1 if failures or not checked else 0)


if __name__ == "__main__":
    main()
