# SPDX-License-Identifier: Apache-2.0
"""Writes wordpiece.json: a small vocabulary and what the reference tokenizer (pip: tokenizers) makes of texts.

    python make_wordpiece.py VOCAB.txt     # an uncased BERT vocabulary, of which the needed part is kept
"""
import json
import sys

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

TEXTS = [
    "", " ", "The quick brown fox jumps over the lazy dog.", "unaffable, electroencephalographically!",
    "Caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u0130stanbul stra\u00dfe STRASSE \u1e9e", "e\u0301 decomposed, \u01f0 and \u0149",
    "\u6771\u4eac\u90fdABC\u4eba\u6c11 mixed \u30c6\u30b9\u30c8 \u304c\u304e", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    "tabs\tand\nnew\r\nlines\u00a0and\u2003wide\u2028spaces", "zero\u200bwidth soft\u00adhyphen bell\u0007 null\u0000 end",
    "it's $5.00 (50% off) -- a_b ^x^ `q` ~ <tag> {a|b}", "\u00bfqu\u00e9? \u00abd\u00e9j\u00e0\u00bb \u2014 \u2026 \u201cquoted\u201d \uff01\u3002",
    "emoji \U0001f600 family \U0001f468\u200d\U0001f469\u200d\U0001f467 flag \U0001f1e9\U0001f1ea", "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u03a3\u03ca\u03c3\u03c5\u03c6\u03bf\u03c2 \u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0439\u043e\u0433",
    "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22", "private \ue000 use, unassigned \u0378, \ufffd replacement",
    "[CLS] is kept, so are [MASK] and x[SEP]y, not [mask]", "a" * 100, "a" * 101 + " after", "##hash #tag @user http://a.b/c?d=e&f",
    "1234567890 3.14159 1,000,000", "\ufb01ne \u2460 \u00bd \u00b2 \u2122", "\u4e00\u3400\U00020000\uf900\U0002f800\u30a2",
]


def tokenizer(vocab):
    made = Tokenizer(models.WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens([t for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")])
    return made


full = open(sys.argv[1], encoding="utf-8").read().split("\n")
full = full[:-1] if full[-1] == "" else full
reference = tokenizer(full)
needed = {t for text in TEXTS for t in reference.encode(text).tokens}
kept = [t for t in full if t in needed or t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") or (t.isascii() and len(t) == 1)]
small = tokenizer(kept)
cases = [{"text": text, "ids": small.encode(text).ids} for text in TEXTS]
words = [[w for w, _ in small.pre_tokenizer.pre_tokenize_str(small.normalizer.normalize_str(text))] for text in TEXTS]
for case, split in zip(cases, words):
    case["words"] = split
json.dump({"vocabulary": kept, "cases": cases}, open("wordpiece.json", "w"), indent=0)
