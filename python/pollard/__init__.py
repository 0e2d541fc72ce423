# SPDX-License-Identifier: Apache-2.0
"""Structural pruning: smaller networks that compute what the masked originals compute.

    import pollard, timm, torch
    net = timm.create_model("resnet18").eval()
    program = torch.export.export(net, (torch.randn(2, 3, 224, 224),))
    small = pollard.prune(program, speedup=2.0)
    torch.export.save(small, "small.pt2")

A model is a torch.export.ExportedProgram, or a path: a .pt2, .safetensors or .pt file, or a folder of Hugging Face's.
Options are the program's own with underscores: `pollard.prune(p, ratio=0.5, round_to=8)` is
`pollard prune ... --ratio 0.5 --round-to 8`; docs/cli.md lists them. Errors are PollardError, with the program's codes.
"""
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Union

import torch  # first: its libraries are the ones that _core is linked with

from .errors import (EnvironmentFailure, FileError, GateFailed, InternalError, PollardError, UnsupportedError, UsageError,
                     error_from)
from .progress import ProgressChoice, listener

try:
    from . import _core
except ImportError as error:  # pragma: no cover - another torch than the one it was built with
    raise ImportError(f"pollard was built for another torch than {torch.__version__}: {error}") from error

if torch.__version__.split("+")[0] != _core.torch_version:
    raise ImportError(f"pollard was built for torch {_core.torch_version}, this is {torch.__version__}: their C++ "
                      "libraries differ; install the matching one or build pollard again")

__version__: str = _core.version()
__all__ = ["EnvironmentFailure", "FileError", "GateFailed", "InternalError", "Plan", "PollardError", "UnsupportedError",
           "UsageError", "explain", "export", "inspect", "plan", "prune", "verify"]

Model = Union[torch.export.ExportedProgram, str, os.PathLike]


class Plan(dict):
    """What to remove, as `pollard plan` writes it: groups with the units that go, totals, the options it was made with."""

    def save(self, path: str | os.PathLike) -> None:
        Path(path).write_text(json.dumps(self))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Plan":
        return cls(json.loads(Path(path).read_text()))


def _arguments(options: Mapping[str, Any]) -> list[str]:
    """round_to=8 -> --round-to 8; True -> the flag alone; None and False -> nothing."""
    out: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        out.append("--" + name.replace("_", "-"))
        if value is not True:
            out.append(",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
    return out


def _run(command: str, *arguments: str, progress: ProgressChoice = None) -> dict[str, Any]:
    status, out, err = _core.run([command, *arguments, "--json"], listener(progress))
    lines = [line for line in out.splitlines() if line.startswith("{")]
    answer = json.loads(lines[-1]) if lines else {}
    if answer.get("schema") == "pollard.error/1":
        raise error_from(answer)
    if status != 0:
        raise error_from({"exit": status, "message": err.strip().splitlines()[-1] if err.strip() else command,
                          "why": json.dumps(answer) if status == 1 else ""})
    return answer


class _Files:
    """A folder for one call: exported programs and samples as files."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pollard-")

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def path(self, name: str) -> str:
        return os.path.join(self._folder.name, name)

    def model(self, model: Model, name: str = "model.pt2") -> str:
        if isinstance(model, (str, os.PathLike)):
            return os.fspath(model)
        if isinstance(model, torch.export.ExportedProgram):
            torch.export.save(model, self.path(name), extra_files=getattr(model, "pollard_metadata", None))
            return self.path(name)
        raise TypeError("a model is a torch.export.ExportedProgram or a path, not " + type(model).__name__ +
                        ": torch.export.export(module.eval(), example_inputs) makes one of a module")

    def samples(self, calibration: Any, count: int) -> str:
        """Paths go through; tensors, arrays and loaders are gathered into one file."""
        if isinstance(calibration, (str, os.PathLike)):
            return os.fspath(calibration)
        import numpy

        arrays = {f"input{i:03}": x.numpy() for i, x in enumerate(_gather(calibration, count))}
        numpy.savez(self.path("samples.npz"), **arrays)
        return self.path("samples.npz")


def _gather(calibration: Any, count: int) -> list[torch.Tensor]:
    """The first `count` samples of a loader: batches of a tensor, or of (inputs, labels); labels are not used."""
    if isinstance(calibration, torch.Tensor):
        return [calibration[:count].detach().cpu()]
    if not isinstance(calibration, Iterable):
        raise TypeError("calibration is a path, a tensor or a loader of batches")
    gathered: list[list[torch.Tensor]] = []
    seen = 0
    for batch in calibration:
        inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
        inputs = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
        for kept, tensor in zip(gathered or [gathered.append([]) or gathered[-1] for _ in inputs], inputs):
            kept.append(tensor.detach().cpu())
        seen += len(inputs[0])
        if seen >= count:
            break
    if not gathered:
        raise ValueError("calibration holds no batch")
    return [torch.cat(tensors)[:count] for tensors in gathered]


def _target(speedup: float | str | None) -> str | None:
    return speedup if speedup is None or isinstance(speedup, str) else f"{speedup}x"


def inspect(model: Model, **options: Any) -> dict[str, Any]:
    """What is in a model: parameters, multiply-accumulates, prunable groups, what is frozen and why.

    `show="groups"` and the like choose the part, as `pollard inspect --show` does.
    """
    with _Files() as files:
        return _run("inspect", files.model(model), *_arguments(options))


def plan(model: Model, *, speedup: float | str | None = None, ratio: float | None = None, calibration: Any = None,
         samples: int = 256, progress: ProgressChoice = None, **options: Any) -> Plan:
    """Chooses what to remove and touches no weight. One target is needed: speedup, ratio, params, macs, latency, ...

    `calibration`: samples for criteria that need some: a file, a tensor, or a loader whose first `samples` are taken.
    """
    with _Files() as files:
        given = {**options, "speedup": _target(speedup), "ratio": ratio}
        if calibration is not None:
            given["calib"] = files.samples(calibration, samples)
        return Plan(_run("plan", files.model(model), *_arguments(given), progress=progress))


def prune(model: Model, out: str | os.PathLike | None = None, *, speedup: float | str | None = None,
          ratio: float | None = None, plan: Mapping[str, Any] | str | os.PathLike | None = None, calibration: Any = None,
          samples: int = 256, progress: ProgressChoice = None, **options: Any) -> torch.export.ExportedProgram:
    """Plans, rewrites, and proves that the result computes what the masked original computes.

    Returns the smaller program: `.module()` runs and trains, torch.export.save stores it. With `out` (.pt2,
    .safetensors or .onnx) it is written there too. `plan` carries out an earlier plan. `calibration` also mends the
    layers that are left (`repair="none"` does not).
    """
    with _Files() as files:
        given = {**options, "speedup": _target(speedup), "ratio": ratio}
        if calibration is not None:
            given["calib"] = files.samples(calibration, samples)
        if isinstance(plan, Mapping):
            Plan(plan).save(files.path("plan.json"))
            plan = files.path("plan.json")
        given["plan"] = plan
        small = files.path("small.pt2")
        _run("prune", files.model(model), small, *_arguments(given), progress=progress)
        if out is not None:
            _run("export", small, os.fspath(out), *(["--force"] if options.get("force") else []))
        # What travels in the file beside the network is kept with the object: verify() and export() look for the plan.
        extra = {"pollard.plan": "", "pollard.provenance": ""}
        program = torch.export.load(small, extra_files=extra)
        program.pollard_metadata = {name: text for name, text in extra.items() if text}
        return program


def verify(pruned: Model, original: Model, **options: Any) -> dict[str, Any]:
    """Proves again that a pruned network is its masked original. Raises GateFailed when it is not.

    The plan is the one inside: of a file that pollard wrote, or of what prune() returned; else `plan="plan.json"`.
    """
    with _Files() as files:
        return _run("verify", files.model(pruned, "pruned.pt2"), files.model(original), *_arguments(options))["verify"]


def export(model: Model, out: str | os.PathLike, **options: Any) -> dict[str, Any]:
    """Writes a model in another format, by extension: .pt2, .safetensors, .onnx, .dot, .json."""
    with _Files() as files:
        return _run("export", files.model(model), os.fspath(out), *_arguments(options))


def explain(code: str) -> str:
    """The long text about an error code."""
    return _core.run(["explain", code])[1]
