#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network of seven thousand million parameters is analysed in the memory of its program: below 1 GiB and 5 CPU seconds.

    test_without_weights.py POLLARD
"""
import json
import resource
import subprocess
import sys


def main():
    done = subprocess.run([sys.argv[1], "inspect", "--family", "Llama-2-7B", "--json"], check=True, capture_output=True, text=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, mebibytes = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    report = json.loads(done.stdout)
    print(f"{report['parameters']:,} parameters, {len(report['groups'])} groups: {seconds:.1f} CPU seconds, peak {mebibytes:.0f} MiB")
    assert report["parameters"] == 6_738_415_616, report["parameters"]
    assert report["groups"], "nothing to prune"
    return 0 if seconds < 5 and mebibytes < 1024 else 1


if __name__ == "__main__":
    sys.exit(main())
