#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the library into an empty folder and builds examples/find_package out of it, with CMake and with pkg-config.

    test_install.py CMAKE BUILD_FOLDER COMPILER
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLE = os.path.join(ROOT, "examples", "find_package")
CASE = os.path.join(ROOT, "tests", "cases", "syn_flatten_bn_fc.pt2")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def halves(program, folder):
    out = os.path.join(folder, "half.pt2")
    said = json.loads(run(program, CASE, out))
    assert said["equal"] and said["after"] < 0.6 * said["before"], said
    os.remove(out)


def main():
    cmake, build, compiler = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "prefix")
        run(cmake, "--install", build, "--component", "library", "--prefix", prefix)
        run(cmake, "-S", EXAMPLE, "-B", os.path.join(folder, "build"), "-DCMAKE_PREFIX_PATH=" + prefix,
            "-DCMAKE_CXX_COMPILER=" + compiler)
        run(cmake, "--build", os.path.join(folder, "build"))
        halves(os.path.join(folder, "build", "halve"), folder)
        if not shutil.which("pkg-config"):
            print("not run: pkg-config is not installed")
            return 0
        found = [os.path.join(at, "pkgconfig") for at, names, _ in os.walk(prefix) if "pkgconfig" in names][0]
        flags = run("pkg-config", "--define-prefix", "--cflags", "--libs", "pollard", env={**os.environ, "PKG_CONFIG_PATH": found}).split()
        program = os.path.join(folder, "halve")
        run(compiler, os.path.join(EXAMPLE, "halve.cpp"), "-o", program, *flags)
        halves(program, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
