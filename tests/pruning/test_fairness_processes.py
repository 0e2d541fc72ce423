# SPDX-License-Identifier: Apache-2.0
"""Fairness scores by several processes under a real launcher: the files of one process, byte for byte; and a job that was
killed goes on from what its processes kept. Argument: the pollard program."""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

POLLARD = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "..", "cases", "hf_gpt2.pt2")
# Open MPI leaks in plugins that it unloads, where no suppression of LeakSanitizer could name them.
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1",
                   ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")


def command(processes, out, *arguments, text="text600.json"):
    launcher = ["mpirun", "--oversubscribe", "-n", str(processes)] if processes > 1 else []
    return launcher + [POLLARD, "fairness", "score", MODEL, "--prompts", "prompts.json", "--text", text, "--window",
                       "16", "--baselines", "--threads", "1", "-o", out, "--csv", out + ".csv", "--force", *arguments]


def score(processes, out, *arguments, text="text600.json"):
    run = subprocess.run(command(processes, out, *arguments, text=text), env=ENVIRONMENT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("whole ") == 1, "every process tells its story\n" + run.stdout
    return open(out).read(), open(out + ".csv").read()


def check_same_numbers():
    one = score(1, "one.json")
    assert len(json.loads(one[0])["units"]) == 8
    for processes in (2, 3):  # 8 heads among three: 3, 3 and 2
        assert score(processes, f"{processes}.json") == one, f"{processes} processes measure otherwise"
        print(f"{processes} processes: scores equal to those of one, byte for byte")


def die_in_the_middle(text):
    """Whether a job of two was killed when it had kept something and before it ended; a fast machine ends it first."""
    job = subprocess.Popen(command(2, "dead.json", "--resume", "kept", text=text), env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    while not os.path.exists("kept.perplexity.0of2"):
        assert job.poll() is None, "ended without keeping anything"
        time.sleep(0.01)
    job.terminate()
    job.wait()
    if not os.path.exists("dead.json"):
        return True
    for name in glob.glob("kept.*") + glob.glob("dead.json*"):
        os.remove(name)
    return False


def check_resumes_after_death():
    tokens = 600
    while not die_in_the_middle(text := write_text(tokens)):
        tokens *= 4
        assert tokens < 1_000_000, "was never cut short"
    assert score(2, "again.json", "--resume", "kept", text=text) == score(1, "whole.json", text=text)
    other = subprocess.run(command(2, "other.json", "--resume", "kept", "--stride", "4", text=text), env=ENVIRONMENT,
                           capture_output=True, text=True)
    assert other.returncode != 0 and "E0393" in other.stderr, other.stderr  # kept for another measurement
    print("a job that was killed goes on and ends with the same scores")


def write_text(tokens):
    name = f"text{tokens}.json"
    with open(name, "w") as file:
        json.dump([i * 7 % 90 for i in range(tokens)], file)
    return name


if not shutil.which("mpirun"):
    sys.exit(print("not run: this machine has no mpirun") or 0)
folder = tempfile.mkdtemp()
os.chdir(folder)
try:
    def prompts(first):
        return [[first, 3, 5, 7], [first, 2, 9], [4, first, 1, 8]]

    with open("prompts.json", "w") as file:
        json.dump({"attributes": {"negative": [[11, 12]], "positive": [[13, 14]]},
                   "axes": {"x": {"a": prompts(20), "b": prompts(30)}, "y": {"a": prompts(40), "b": prompts(50)}}}, file)
    write_text(600)
    check_same_numbers()
    check_resumes_after_death()
finally:
    os.chdir("/")
    shutil.rmtree(folder)
