#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every recorded reference output against the built-in networks, as the table in docs/parity.md.

    parity_table.py POLLARD GOLDEN_FOLDER > docs/parity.md

One process a golden, so that the largest network decides the memory. Files that are no network's outputs (selections,
layers alone) have tests of their own and are listed below the table.
"""
import glob
import json
import os
import subprocess
import sys

HEAD = """# Built-in networks against their references

Weights filled by each golden's rule, outputs compared with what the reference implementation recorded: `pollard parity
tests/golden/NAME.json`. `error` is the largest difference of any output or tap relative to its largest value, within
the tolerance the golden states; f64 where the golden holds double outputs. Made by `bench/parity_table.py`.

| golden | family | keys | parameters | MACs | dtype | taps | error | verdict |
|---|---|---|---|---|---|---|---|---|"""


def check(pollard, golden):
    run = subprocess.run([pollard, "parity", golden, "--json"], capture_output=True, text=True)
    return json.loads(run.stdout)["results"][0] if run.stdout.strip() else None


def row(golden, r):
    macs = "-" if r["macs"] is None else f"{r['macs']:,}"
    error = max((t["relative"] for t in r["taps"]), default=None)
    return (f"| {golden} | {r['family']} | {r['keys_matched']}/{r['keys']} | {r['parameters']:,} | {macs} | {r['dtype']} "
            f"| {len(r['taps'])} | {'-' if error is None else f'{error:.1e}'} | {r['verdict']} |")


def main():
    pollard, folder = sys.argv[1:3]
    print(HEAD)
    passed, failed, elsewhere = 0, [], []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        golden = os.path.splitext(os.path.basename(path))[0]
        result = check(pollard, path)
        if result is None or result["verdict"] in ("not built in", "not a golden"):
            elsewhere.append(golden)
            continue
        print(row(golden, result), flush=True)
        passed += result["verdict"] == "ok"
        if result["verdict"] != "ok":
            failed.append(golden)
    print(f"\n{passed} of {passed + len(failed)} networks match" + (f"; not: {', '.join(failed)}" if failed else "") + ".")
    print(f"\nNot in the table (no networks, or real weights that are not in the tree), tested where the code is: {', '.join(elsewhere)}.")


if __name__ == "__main__":
    main()
