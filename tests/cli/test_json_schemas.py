# SPDX-License-Identifier: Apache-2.0
"""What --json prints, and the JSON files that pollard writes, match docs/schemas/; every command and schema is met.

Needs the Python package jsonschema (Debian: python3-jsonschema, which ./bootstrap test installs); without it the test
says so and passes.
"""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")  # Debian's, beside a virtual environment
    try:
        import jsonschema
    except ImportError:
        print("no jsonschema on this machine (Debian: python3-jsonschema): the output of --json was not validated")
        sys.exit(0)

PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
TESTS = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = {}
for path in sorted((TESTS.parent / "docs/schemas").glob("*.schema.json")):
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    SCHEMAS["pollard." + path.name.replace(".schema.json", "")] = jsonschema.Draft202012Validator(schema)

# One line a form of output; run in this order in one folder. A leading "!" expects an error.
LINES = """
inspect model.pt2
inspect model.pt2 --show tensors
inspect --family resnet18
inspect gpt2/model.safetensors --show tensors
explain model.pt2 fc.weight:1
explain model.pt2 emb.weight:1 fc.weight:1
explain E0301
plan model.pt2 --ratio 0.5
plan model.pt2 --speedup 1.5x --heads 0.25 --layer fc*=0
plan model.pt2 --sweep 0.2:0.6:0.2
plan model.pt2 --sweep 0.2:0.4:0.2 --calib samples.safetensors
plan model.pt2 --sensitivity --calib samples.safetensors
prune model.pt2 small.pt2 --ratio 0.5
prune model.pt2 mended.pt2 --ratio 0.5 --calib samples.safetensors --report report.json
prune small.pt2 smaller.pt2 --ratio 0.5 --dry-run --no-verify
prune gpt2/model.safetensors streamed.safetensors --ratio 0.5 --stream
train model.pt2 data.safetensors trained.pt2 --epochs 2
finetune small.pt2 data.safetensors tuned.pt2 --epochs 1 --distill model.pt2
compress model.pt2 monarch.pt2 --monarch --repeat 2 --report compressed.json
compress model.pt2 ffn.pt2 --attention-to-ffn --calib ids.safetensors --epochs 2 --repeat 2
compress deit.pt2 merged.pt2 --merge-tokens r=8 --repeat 2
fairness score lm.pt2 --prompts p.json --text t.json -o s.json
fairness plan lm.pt2 --scores s.json --alpha 0.25 --gamma 0.3
fairness prune lm.pt2 fair.pt2 --scores s.json --alpha 0.25 --prompts p.json --text t.json
eval model.pt2 small.pt2 data.safetensors --metric top1,loss
verify small.pt2 model.pt2
bench model.pt2 small.pt2 --repeat 3 --warmup 1
generate gpt2/model.safetensors --ids 15,27,3 --max-tokens 5
parity golden.json --dtype f64
export model.pt2 weights.safetensors
export model.pt2 model.json
export model.pt2 int8.safetensors --dtype int8
models
init gpt2 fresh.safetensors --spec gpt2.json
devices
doctor
completion bash
help-reference
op-reference
!prune model.pt2 other.pt2
!inspect nowhere.pt2
!explain
"""


def safetensors(path, **tensors):
    """Int64 tensors: name = (shape, values)."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        piece = struct.pack(f"<{len(values)}q", *values)
        header[name] = {"dtype": "I64", "shape": shape, "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def run(folder, line):
    words = [PROGRAM, *line.lstrip("!").split()]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) != line.startswith("!"), f"{line}: exit {done.returncode}\n{done.stderr}"
    return done.stdout


def workshop(folder):
    for name, case in [("model", "transenc"), ("lm", "hf_gpt2")]:
        (folder / f"{name}.pt2").write_bytes((TESTS / f"cases/{case}.pt2").read_bytes())
    (folder / "golden.json").write_bytes((TESTS / "golden/bert_tiny.json").read_bytes())
    ids = [37 * k % 1000 for k in range(64 * 16)]
    safetensors(folder / "data.safetensors", x=([64, 16], ids), labels=([64], [k % 4 for k in range(64)]))
    safetensors(folder / "samples.safetensors", x=([64, 16], ids))
    safetensors(folder / "ids.safetensors", x=([4, 16], ids[:64]))
    (folder / "p.json").write_text(json.dumps({
        "attributes": {"negative": [[3, 4]], "positive": [[7, 8]]},
        "axes": {"x": {"a": [[10, 11, 12]], "b": [[13, 14]]}}}))
    (folder / "t.json").write_text(json.dumps(list(range(1, 13))))
    (folder / "gpt2.json").write_text('{"vocab_size":420,"n_positions":64,"n_embd":32,"n_layer":1,"n_head":2}')
    (folder / "vit.json").write_text('{"img_size":32,"patch_size":4,"embed_dim":64,"depth":2,"num_heads":1}')
    (folder / "gpt2").mkdir()
    run(folder, "init gpt2 gpt2/model.safetensors --spec gpt2.json")
    run(folder, "init vit deit.pt2 --spec vit.json")


def check(document, where, met):
    name, version = document["schema"].split("/")
    assert name in SCHEMAS, f"{where}: {document['schema']} has no file in docs/schemas"
    SCHEMAS[name].validate(document)
    met.add(name)
    return name, version


def metadata(path):
    """The JSON texts that a written .safetensors carries."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size)).get("__metadata__", {})


def main():
    met, commands = set(), set()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        workshop(folder)
        for line in filter(None, LINES.splitlines()):
            for text in run(folder, line + " --json").splitlines():
                check(json.loads(text), line, met)
            commands.add(line.lstrip("!").split()[0])
        for written in ["report.json", "compressed.json", "model.json", "s.json"]:
            check(json.loads((folder / written).read_text()), written, met)
        run(folder, "prune model.pt2 pruned.safetensors --ratio 0.5")
        for key in ["pollard.plan", "pollard.provenance"]:
            check(json.loads(metadata(folder / "pruned.safetensors")[key]), key, met)
        text = metadata(folder / "int8.safetensors")["pollard.precision"]
        check(json.loads(text), "pollard.precision", met)
        known = set(re.findall(r"^## pollard (\S+)$", run(folder, "help-reference"), re.M))
    assert met == set(SCHEMAS), f"never met: {sorted(set(SCHEMAS) - met)}"
    assert known - commands == set(), f"without a line here: {sorted(known - commands)}"
    print(f"{len(met)} schemas, {len(commands)} commands")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
