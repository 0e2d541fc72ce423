#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every network of a list, whole and pruned, in onnxruntime and in PyTorch: the table of docs/onnx.md.

    onnx_table.py POLLARD families|FOLDER_OF_PT2

`families` initialises every small variant of every built-in family; a folder is what bench/export_networks.py wrote.
Needs onnxruntime beside torch. Prints a Markdown table: network, verdict, largest relative difference whole and pruned.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "oracle"))
from check_onnx import check  # noqa: E402


def families(pollard, folder):
    listed = subprocess.run([pollard, "models", "--json"], check=True, capture_output=True, text=True).stdout
    for family in json.loads(listed)["families"]:
        for number, spec in enumerate(family["small_specs"]):
            stem = os.path.join(folder, f"{family['name']}.{number}")
            with open(stem + ".json", "w") as file:
                json.dump(spec, file)
            subprocess.run([pollard, "init", family["name"], stem + ".pt2", "--spec", stem + ".json", "-q"], check=True)
            yield stem + ".pt2"


def main():
    pollard, what = sys.argv[1:]
    print("| network | whole | pruned by half |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        paths = families(pollard, folder) if what == "families" else sorted(glob.glob(os.path.join(what, "*.pt2")))
        for path in paths:
            name = os.path.basename(path).removesuffix(".pt2")
            small, out = os.path.join(folder, "small.pt2"), os.path.join(folder, "out.onnx")
            done = subprocess.run([pollard, "prune", path, small, "--ratio", "0.5", "--no-verify", "--force", "-q"],
                                  capture_output=True, text=True)
            cells = []
            for file in (path, small) if done.returncode == 0 else (path,):
                try:
                    verdict, text = check(pollard, file, out)
                except Exception as error:  # the list must go on
                    verdict, text = "BAD", repr(error)[:120]
                cells.append(text.split(" ")[0] if verdict == "ok" else f"{verdict}: {text}")
            if done.returncode:
                cells.append(done.stderr.strip().splitlines()[0][:80] if done.stderr else "not pruned")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
