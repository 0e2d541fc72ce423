# SPDX-License-Identifier: Apache-2.0
"""The Python package, as a user would call it. Run by ctest (python.package)."""
import os
import pathlib

import pytest
import torch

import pollard
from pollard.progress import listener

CASES = pathlib.Path(os.environ["POLLARD_CASES"])


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(16)
        self.hidden = torch.nn.Linear(16, 32)
        self.out = torch.nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.out(torch.relu(self.hidden(x)))


@pytest.fixture(scope="module")
def program():
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2)
    return torch.export.export(Net().eval(), (torch.randn(4, 3, 8, 8),), dynamic_shapes=({0: batch},))


def parameters(program):
    return sum(t.numel() for t in program.parameters())


def test_inspect_tells_what_is_in_a_model(program):
    report = pollard.inspect(program)
    assert report["schema"] == "pollard.inspect/1"
    assert pollard.inspect(str(CASES / "transenc.pt2"), show="groups")


def test_a_plan_is_made_saved_and_carried_out(program, tmp_path):
    plan = pollard.plan(program, ratio=0.5, round_to=4)
    assert plan["schema"] == "pollard.plan/1"
    plan.save(tmp_path / "plan.json")
    assert pollard.Plan.load(tmp_path / "plan.json") == plan
    small = pollard.prune(program, plan=plan)
    assert small.state_dict["conv.weight"].shape[0] == 8
    assert pollard.verify(small, program)["ok"] is True


def test_prune_returns_a_program_that_runs_trains_and_is_stored(program, tmp_path):
    small = pollard.prune(program, speedup=2.0)
    assert parameters(small) < parameters(program)
    module = small.module()
    x, y = torch.randn(6, 3, 8, 8), torch.randint(0, 10, (6,))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    torch.export.save(small, tmp_path / "small.pt2")
    # The module's parameters are the program's: what was trained is what was stored.
    assert torch.equal(torch.export.load(tmp_path / "small.pt2").module()(x), module(x))


@pytest.mark.parametrize("kind", ["tensor", "loader", "dict"])
def test_calibration_comes_from_tensors_and_loaders(program, kind):
    samples = torch.randn(32, 3, 8, 8)
    dataset = torch.utils.data.TensorDataset(samples, torch.zeros(32))
    given = {"tensor": samples, "loader": torch.utils.data.DataLoader(dataset, 8), "dict": [{"x": samples}]}[kind]
    plain = pollard.prune(program, ratio=0.5).module()(samples)
    mended = pollard.prune(program, ratio=0.5, calibration=given).module()(samples)
    whole = program.module()(samples)
    assert (mended - whole).norm() < (plain - whole).norm()


def test_errors_carry_the_programs_codes(program, tmp_path):
    with pytest.raises(pollard.UsageError) as caught:
        pollard.prune(program)
    assert caught.value.code == "E0207" and "E0207" in str(caught.value)
    assert "target" in caught.value.explain()
    bad = tmp_path / "bad.pt2"
    bad.write_bytes(b"no model at all")
    with pytest.raises(pollard.FileError) as caught:
        pollard.inspect(bad)
    assert caught.value.exit == 3 and caught.value.code.startswith("E03")
    with pytest.raises(pollard.PollardError):
        pollard.plan(program, ratio=7)
    with pytest.raises(TypeError, match="torch.export.export"):
        pollard.inspect(Net())


def test_other_formats_are_written(program, tmp_path):
    small = pollard.prune(program, tmp_path / "small.safetensors", ratio=0.5)
    assert pollard.inspect(tmp_path / "small.safetensors")
    report = pollard.export(small, tmp_path / "small.pt2", dtype="int8")
    assert 0 < report["precision"]["output_change"] < 0.05
    pollard.export(small, tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").stat().st_size > 1000


def test_progress_goes_to_a_function():
    """Quick work stays silent, so the lines are written here as the program writes them without a terminal."""
    heard = []
    hear = listener(lambda label, done, total: heard.append((label, done, total)))
    for line in ["score  10 %  732/7176 MiB  68/s  95.0 s left", "target    MACs <= 4.1 G",
                 "verify  100 %  4/4 inputs  2.0/s"]:
        hear(line)
    assert heard == [("score", 732, 7176), ("verify", 4, 4)]
    assert listener(False) is None


def test_one_copy_of_libtorch_is_loaded():
    with open("/proc/self/maps") as maps:
        loaded = {line.split()[-1] for line in maps if "libtorch_cpu" in line}
    assert len(loaded) == 1 and pollard._core.torch_version == torch.__version__.split("+")[0]
