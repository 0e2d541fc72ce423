# SPDX-License-Identifier: Apache-2.0
"""Writes tokenizers.json: small tokenizers as the reference implementation (pip: tokenizers) saves them, and what it
makes of texts.

    python make_tokenizers.py        # beside this file
"""
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the other foxes jump over other dogs.",
    "It's what they've said: we'll see, I'd say; you're right, I'm wrong, don't.",
    "Pruning removes the least important units; the pruned network computes what the masked one computes.",
    "In 2024 there were 365 days and 1000 nights; 3.14159 is less than 22/7.",
    "def forward(self, x):\n    return self.out(self.act(x))\n\n\nclass Net:\n\tpass\n",
    "Stra\u00dfe, caf\u00e9, na\u00efve, \u00c5ngstr\u00f6m, \u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442, \u6771\u4eac\u90fd, \ud55c\uad6d\uc5b4.",
]
TEXTS = [
    "", " ", "  ", "   leading and trailing   ", "The quick brown fox jumps over the lazy dog.", "the theother themothers",
    "It's we'll they've I'd you're I'm don't IT'S WE'LL", "'s'' 'll 've", "tabs\tand\nnew\r\nlines\n\n\n  x \u00a0 y\u2003z\u2028w\x0bv\x85u",
    "1234567890 3.14159 1,000,000 \u00bd \u00b2 \u2167 \u0663", "a  b   c    d", "caf\u00e9 cafe\u0301 \u00c5 A\u030a \ufb01 \u1e9e \u01f0",
    "\u6771\u4eac\u90fdABC\u4eba\u6c11 \u30c6\u30b9\u30c8 \u304c\u304e", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5", "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac",
    "emoji \U0001f600 family \U0001f468\u200d\U0001f469\u200d\U0001f467 flag \U0001f1e9\U0001f1ea", "zero\u200bwidth soft\u00adhyphen bell\u0007 \ue000 \u0378",
    "<|endoftext|>", "a<|endoftext|>b <|endoftext|> <|endoftext", "<|begin|>x<|begin|>", "$5.00 (50% off) -- a_b ^x^ `q` ~ {a|b} !!! ...",
    "http://a.b/c?d=e&f=g#h user@example.org", "x" * 70, "jumps" * 30, "!" * 40, "\n" * 9 + "end", "\u0639\u0631\u0628\u064a \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def trained(pre_tokenizer, special, **model):
    made = Tokenizer(models.BPE(**model))
    made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False,
                                                         initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return made


def gpt2():
    made = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def prefixed():
    made = trained(pre_tokenizers.ByteLevel(add_prefix_space=True), [])
    made.normalizer = normalizers.NFC()
    made.add_tokens([AddedToken("<|begin|>", normalized=False)])
    return made


def llama3():
    made = trained(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), ["<|begin|>"], ignore_merges=True)
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", made.token_to_id("<|begin|>"))])])
    return made


def wordpiece():
    words = json.load(open(os.path.join(os.path.dirname(__file__), "wordpiece.json")))["vocabulary"]
    made = Tokenizer(models.WordPiece({t: i for i, t in enumerate(words)}, unk_token="[UNK]", max_input_chars_per_word=40))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[
        ("[CLS]", made.token_to_id("[CLS]")), ("[SEP]", made.token_to_id("[SEP]"))])
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return made


out = {}
for name, build in (("gpt2", gpt2), ("prefixed", prefixed), ("llama3", llama3), ("wordpiece", wordpiece)):
    made = build()
    cases = [{"text": text, "ids": made.encode(text).ids} for text in TEXTS]
    if name != "wordpiece":
        for case in cases:
            case["decoded"] = made.decode(case["ids"])
            case["half"] = made.decode(case["ids"][:len(case["ids"]) // 2])
    out[name] = {"file": json.loads(made.to_str()), "cases": cases}
json.dump(out, open(os.path.join(os.path.dirname(__file__), "tokenizers.json"), "w"), separators=(",", ":"), indent=0)
