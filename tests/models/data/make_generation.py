# SPDX-License-Identifier: Apache-2.0
"""Writes generation.json: what transformers' greedy generate() makes of prompts, for the networks of some goldens, whose
weights are pure functions of their names (tests/golden/goldfill.py).

    python make_generation.py        # pip: transformers, torch
"""
import json
import os
import sys

import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "golden")
sys.path.insert(0, GOLDEN)
import goldfill  # noqa: E402

CLASSES = {"gpt2_tiny": "GPT2LMHeadModel", "gpt_neo_tiny": "GPTNeoForCausalLM", "gptj_tiny": "GPTJForCausalLM",
           "llama_tiny": "LlamaForCausalLM", "llama_tiny_gqa": "LlamaForCausalLM"}
PROMPTS = [[17], [11, 4, 90, 7, 7, 23], [60, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 48]]
NEW = 14


def build(golden, kind):
    cls = getattr(transformers, kind)
    model = cls(cls.config_class(**golden["config"])).eval()
    state = model.state_dict()
    for key, shape in golden["keys"].items():
        assert tuple(state[key].shape) == tuple(shape), key
        state[key].copy_(torch.as_tensor(goldfill.fill(key, tuple(shape))))
    return model


def main():
    out = {}
    for name, kind in CLASSES.items():
        golden = json.load(open(os.path.join(GOLDEN, name + ".json")))
        model, cases = build(golden, kind), []
        for prompt in PROMPTS:
            ids = torch.tensor([prompt])
            new = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False,
                                 eos_token_id=None, pad_token_id=0)[0, len(prompt):].tolist()
            with torch.no_grad():
                logits = model(torch.tensor([prompt + new])).logits[0, len(prompt) - 1:-1]
            best = logits.topk(2).values
            cases.append({"prompt": prompt, "tokens": new, "smallest_margin": float((best[:, 0] - best[:, 1]).min())})
            assert cases[-1]["smallest_margin"] > 5e-5, (name, prompt)
        out[name] = cases
    json.dump(out, open(os.path.join(HERE, "generation.json"), "w"), indent=0)


main()
