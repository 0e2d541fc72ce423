# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, as exceptions. Codes are the program's: `pollard explain E0420`, or PollardError.explain()."""
from __future__ import annotations

from typing import Any


class PollardError(Exception):
    """A mistake in what was given: a file, an option, a network that cannot be handled."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.code: str = fields.get("code", "")  #: "E0420"; stable
        self.subject: str = fields.get("subject", "")  #: the file, option or op it is about
        self.message: str = fields.get("message", "")
        self.where: str = fields.get("where", "")
        self.why: str = fields.get("why", "")
        self.help: str = fields.get("help", "")  #: the next step
        self.exit: int = fields.get("exit", 70)  #: what the program's exit status would be
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"[{self.code}] " + (f"{self.subject}: " if self.subject else "") + self.message
        rest = [f"{name}: {text}" for name, text in (("at", self.where), ("why", self.why), ("help", self.help)) if text]
        return "\n  ".join([head, *rest])

    def explain(self) -> str:
        """The long text about this kind of error."""
        from . import _core

        return _core.run(["explain", self.code])[1]


class GateFailed(PollardError):
    """A check did not hold: the pruned network is not the masked original."""


class UsageError(PollardError, ValueError):
    """An argument is wrong."""


class FileError(PollardError, OSError):
    """A model file was rejected."""

    __str__ = PollardError.__str__


class UnsupportedError(PollardError, NotImplementedError):
    """A network or an op that this version cannot handle."""


class EnvironmentFailure(PollardError, RuntimeError):
    """Disk, memory or device."""


class InternalError(PollardError, RuntimeError):
    """A mistake of pollard itself: please report it."""


BY_EXIT = {1: GateFailed, 2: UsageError, 3: FileError, 4: UnsupportedError, 5: EnvironmentFailure}


def error_from(fields: dict[str, Any]) -> PollardError:
    return BY_EXIT.get(fields.get("exit", 70), InternalError)(fields)
