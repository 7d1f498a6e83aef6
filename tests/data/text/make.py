#!/usr/bin/env python3
"""Makes tokenizer.json and golden.json with the library `tokenizers` (PyPI, 0.23.3 was used).

tokenizer.json is a byte-level BPE tokenizer trained on corpus.txt; golden.json holds texts (as
UTF-8 in hexadecimal) with the numbers that the library gives for them. Run it here.
"""
import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXTS = [
    "the ship", "The ships' sails weren't set; they've gone, I'll say, he'd, I'm, we're.",
    "  two  spaces\n\n\tand a tab \n", " ", "   ", "x   ", "\n\n", "a\u00a0b\u3000c\u2003 d",
    "1234 x12 12x \u0661\u0662 \u00bd \u2167 \u4e00\u4e8c\u4e09", "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m \u0394\u03bb \u0416",
    "emoji \U0001f600\U0001f600 \u2603!", "a<|end|>b<|end|><|pad|>", "<|end", "...!!! ???-- 'tis 's 'S",
    "e\u0301 combining", "\u05d0\u05d1 \u0627\u0644 \u0e01\u0e33 \ud55c\uad6d", "\x00\x01\x7f",
]


def build() -> Tokenizer:
    """Trains on corpus.txt: 256 bytes and merges of pairs that occur twice."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=406, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # The library reads files line by line; one text is what training has here.
    with open("corpus.txt", encoding="utf-8") as corpus:
        tokenizer.train_from_iterator([corpus.read()], trainer)
    return tokenizer


def main() -> None:
    """Writes both files."""
    golden = {}
    plain = build()
    golden["trained"] = json.loads(plain.to_str())["model"]["merges"]
    plain.add_special_tokens(["<|end|>", "<|pad|>"])
    plain.save("tokenizer.json", pretty=False)
    for name, prefix_space in (("plain", False), ("prefix_space", True)):
        plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
        golden[name] = [{"text": text.encode().hex(), "ids": plain.encode(text).ids}
                        for text in TEXTS]
    with open("golden.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, separators=(",", ":"))


if __name__ == "__main__":
    main()
