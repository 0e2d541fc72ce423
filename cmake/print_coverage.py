# SPDX-License-Identifier: Apache-2.0
"""Line coverage of what the tests of a coverage build ran: print_coverage.py BUILD SOURCE [LEAST_PERCENT]

Reads every .gcda file below BUILD with gcov and prints a line a folder, then the files with the most lines that nothing
ran. Fails when a folder has less than LEAST_PERCENT.
"""
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

FOLDERS = ["graph", "pruning", "models/io", "models/data", "training/data"]
WORST = 12


def folder_of(name):
    matches = [folder for folder in FOLDERS if name.startswith(folder + "/")]
    return max(matches, key=len) if matches else None


def lines_run(build, source):
    """file -> line -> how often it ran, summed over everything it was compiled into."""
    counts = collections.defaultdict(lambda: collections.defaultdict(int))
    data = sorted(str(path) for path in pathlib.Path(build).rglob("*.gcda"))
    with tempfile.TemporaryDirectory() as scratch:
        for first in range(0, len(data), 50):
            done = subprocess.run(["gcov", "--json-format", "--stdout", *data[first:first + 50]], cwd=scratch,
                                  capture_output=True, text=True, check=True)
            for text in done.stdout.splitlines():
                for file in json.loads(text)["files"] if text.startswith("{") else []:
                    path = pathlib.Path(file["file"])
                    if not path.is_relative_to(source):
                        continue
                    name = str(path.relative_to(source))
                    if folder_of(name):
                        for line in file["lines"]:
                            counts[name][line["line_number"]] += line["count"]
    return counts


def main():
    build, source = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    least = float(sys.argv[3]) if len(sys.argv) > 3 else 0
    counts = lines_run(build, source)
    if not counts:
        sys.exit("no .gcda file below " + str(build) + ": run the tests first")
    all_lines, run = collections.Counter(), collections.Counter()
    missed = {}
    for name, lines in counts.items():
        all_lines[folder_of(name)] += len(lines)
        run[folder_of(name)] += sum(1 for count in lines.values() if count)
        missed[name] = sorted(line for line, count in lines.items() if not count)
    short = []
    print(f"{'folder':<16}{'lines':>8}{'run':>8}{'':>4}share")
    for folder in FOLDERS:
        if all_lines[folder]:
            share = 100 * run[folder] / all_lines[folder]
            print(f"{folder:<16}{all_lines[folder]:>8}{run[folder]:>8}{share:>8.1f} %")
            if share < least:
                short.append(folder)
    share = 100 * sum(run.values()) / sum(all_lines.values())
    print(f"{'all':<16}{sum(all_lines.values()):>8}{sum(run.values()):>8}{share:>8.1f} %\n\nmost lines not run:")
    for name in sorted(missed, key=lambda n: -len(missed[n]))[:WORST]:
        print(f"{len(missed[name]):>5}  {name}: {', '.join(map(str, missed[name][:14]))}")
    if short:
        sys.exit("below " + str(least) + " %: " + ", ".join(short))


main()
