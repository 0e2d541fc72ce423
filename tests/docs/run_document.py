# SPDX-License-Identifier: Apache-2.0
"""Runs what a page of the documentation shows, from a clean folder, and compares what comes out.

    run_document.py PAGE.md POLLARD TESTS_FOLDER [--write]

```console           lines after "$ " are run by bash; the lines below each are what it prints, stdout and stderr
```python            is run; with "file=NAME" it is only written down, as are json, toml and text blocks
```cpp from=PATH     stands in that file of the source tree as it is here
Times, rates, hashes and bare decimal fractions differ between machines: they are compared as "some number". A line "..." stands
for any lines. A command may fail only where its output shows "(exit N)". --write puts the real output into the page.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
NUMBER = r"\d[\d,]*(?:\.\d+)?"
VOLATILE = [
    (r"\b[0-9a-f]{12,64}\b", "#"),
    (r"\d+(?:\.\d+)? [KM]?i?B -> \d+(?:\.\d+)? [KM]?i?B", "# -> #"),  # provenance holds measured digits
    (r"max diff \S+", "max diff #"),
    (r"\d+(?:\.\d+)?e[+-]?\d+", "#"),
    (rf"{NUMBER}(?: \+-{NUMBER})? (?:ns|us|ms|s)\b(?: \+-{NUMBER})?", "#"),
    (r"\d+\.\d+x(?! fewer)", "#"),
    (r"\d+\.\d+(?!\d)(?! ?(?:%|[kMGT]|x fewer|x more))", "#"),
    (r"[ \t]+", " "),
]


def blocks(text):
    """(info, body, first line, end) of every fenced block; positions are of the body."""
    for match in re.finditer(r"^```(\S+)([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        words = dict(w.split("=", 1) for w in match.group(2).split() if "=" in w)
        yield match.group(1), words, match.group(3), match.span(3)


def plain(line):
    for pattern, what in VOLATILE:
        line = re.sub(pattern, what, line)
    return line.strip()


def same(expected, actual):
    """Whether the lines agree, "..." standing for any number of lines."""
    if not expected:
        return not actual
    if expected[0].strip() == "...":
        return any(same(expected[1:], actual[i:]) for i in range(len(actual) + 1))
    return bool(actual) and plain(expected[0]) == plain(actual[0]) and same(expected[1:], actual[1:])


class Runner:
    def __init__(self, folder, pollard, tests):
        self.folder = folder
        links = folder / ".bin"
        links.mkdir()
        for name in ["python", "python3"]:
            (links / name).write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
            (links / name).chmod(0o755)
        path = os.pathsep.join([str(links), str(pollard.parent), str(tests), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, "HOME": str(folder), "COLUMNS": "80", "NO_COLOR": "1",
                            "XDG_CACHE_HOME": str(folder / ".cache"), "POLLARD_NO_PROGRESS": "1", "SOURCE": str(SOURCE)}

    def bash(self, command):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=self.folder, env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        return done.returncode, done.stdout.rstrip("\n").splitlines()

    def console(self, body, where):
        """Runs the commands; returns the block as it really is."""
        out = []
        for piece in re.split(r"^\$ ", body, flags=re.M)[1:]:
            command, *expected = piece.rstrip("\n").splitlines()
            while command.endswith("\\") and expected:
                command += "\n" + expected.pop(0)
            exit_code, actual = self.bash(command)
            shown = "\n".join(actual)
            if exit_code != 0 and f"(exit {exit_code})" not in shown:
                fail(where, f"$ {command}\nexit {exit_code}\n{shown}")
            if not WRITE and not same(expected, actual):
                fail(where, f"$ {command}\nexpected:\n" + "\n".join(expected) + f"\n\ngot:\n{shown}")
            out += ["$ " + command] + (expected if "..." in [e.strip() for e in expected] else actual)
        return "\n".join(out) + "\n"

    def python(self, body, where):
        (self.folder / ".block.py").write_text(body)
        exit_code, actual = self.bash("python .block.py")
        if exit_code != 0:
            fail(where, "\n".join(actual))


def quoted(body, name, where):
    """Every line of the block stands in the file, in order and together; indentation aside."""
    lines = [line.strip() for line in (SOURCE / name).read_text().splitlines()]
    wanted = [line.strip() for line in body.splitlines()]
    if not any(lines[i:i + len(wanted)] == wanted for i in range(len(lines))):
        fail(where, f"this is not in {name}:\n{body}")


def fail(where, message):
    print(f"{where}:\n{message}")
    sys.exit(1)


def main():
    page, pollard, tests = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
    text = page.read_text()
    replacements, ran = [], 0
    with tempfile.TemporaryDirectory() as name:
        runner = Runner(pathlib.Path(name), pollard, tests)
        for kind, words, body, span in blocks(text):
            where = f"{page.name}:{text.count(chr(10), 0, span[0])}"
            if "file" in words:
                target = runner.folder / words["file"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(body)
            elif "from" in words:
                quoted(body, words["from"], where)
            elif kind == "python":
                runner.python(body, where)
            elif kind == "console":
                replacements.append((span, runner.console(body, where)))
            else:
                continue
            ran += 1
    for (first, last), real in reversed(replacements):
        text = text[:first] + real + text[last:]
    if WRITE:
        page.write_text(text)
    if ran == 0:
        fail(page.name, "nothing on this page can be run")
    print(f"{page.name}: {ran} blocks")


WRITE = "--write" in sys.argv
main()
