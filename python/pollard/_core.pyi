# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Sequence

torch_version: str

def run(arguments: Sequence[str], listener: Callable[[str], None] | None = None) -> tuple[int, str, str]: ...
def version() -> str: ...
