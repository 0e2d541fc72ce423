# SPDX-License-Identifier: Apache-2.0
"""How far long work has come: a tqdm bar where tqdm is installed and somebody looks, or a function of the caller's."""
from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, Union

#: True or False, None (a bar where somebody looks), or a function of label, done and total.
ProgressChoice = Union[bool, None, Callable[[str, int, int], None]]

_LINE = re.compile(r"^(?P<label>.+?)  \d+ %  (?P<done>\d+)/(?P<total>\d+)")


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return bool(shell and shell.get_ipython())


class _Bar:
    def __init__(self, tqdm: Any) -> None:
        self.tqdm, self.bar, self.label = tqdm, None, ""

    def __call__(self, label: str, done: int, total: int) -> None:
        if self.bar is None or label != self.label:
            self.bar, self.label = self.tqdm(total=total, desc=label), label
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.bar.close()


def listener(choice: ProgressChoice) -> Callable[[str], None] | None:
    """What _core.run calls with each line of narration, or None."""
    if choice is False or (choice is None and not (_in_notebook() or sys.stderr.isatty())):
        return None
    if callable(choice):
        show = choice
    else:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return lambda line: print(line, file=sys.stderr)
        show = _Bar(tqdm)

    def hear(line: str) -> None:
        found = _LINE.match(line)
        if found:
            show(found["label"].strip(), int(found["done"]), int(found["total"]))

    return hear
