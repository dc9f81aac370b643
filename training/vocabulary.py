"""Cut Qwen's byte-level BPE vocabulary to its first entries; a tokenizer with the cut vocabulary.

Source: `ggml-vocab-qwen2.gguf` in llama.cpp's `models/` folder (Qwen, Apache-2.0).
In that vocabulary id = 256 + merge rank, so the first N entries and the merges among them form a
valid BPE with unchanged ids (`yes` is 9693 and `no` is 2152, as in the full one).
"""

import argparse
import json
from pathlib import Path
from typing import TypedDict

from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

# (text, GGUF token type): 3 is control, 4 is user-defined; as in the Qwen3 files.
SPECIALS = [
    ("<|endoftext|>", 3),
    ("<|im_start|>", 3),
    ("<|im_end|>", 3),
    ("<think>", 4),
    ("</think>", 4),
]
# The `qwen2` pre-tokenizer of llama.cpp (src/llama-vocab.cpp).
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Vocabulary(TypedDict):
    """`tokens` and `types` are indexed by id; `merges` are pairs joined by a space, best first."""

    tokens: list[str]
    types: list[int]
    merges: list[str]


def cut(source: Path, size: int) -> Vocabulary:
    """The first `size` entries of the vocabulary in the GGUF file `source`, and the specials."""
    fields = GGUFReader(source).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()[:size]
    types = fields["tokenizer.ggml.token_type"].contents()[:size]
    vocabulary = set(tokens)
    merges = []
    for merge in fields["tokenizer.ggml.merges"].contents():
        left, right = merge.split(" ")
        if vocabulary.issuperset((left, right, left + right)):
            merges.append(merge)
    return Vocabulary(
        tokens=tokens + [text for text, _ in SPECIALS],
        types=[int(kind) for kind in types] + [kind for _, kind in SPECIALS],
        merges=merges,
    )


def from_gguf(path: Path) -> Vocabulary:
    """The vocabulary of a file that export.py wrote."""
    fields = GGUFReader(path).fields
    return Vocabulary(
        tokens=fields["tokenizer.ggml.tokens"].contents(),
        types=[int(kind) for kind in fields["tokenizer.ggml.token_type"].contents()],
        merges=fields["tokenizer.ggml.merges"].contents(),
    )


def load(path: Path) -> Vocabulary:
    """Read the JSON file that `main` writes."""
    return json.loads(path.read_text(encoding="utf-8"))


def tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """A tokenizer equal to llama.cpp's with special tokens off, plus NFC (which llama.cpp lacks).

    The specials are not registered: `<|im_end|>` in a text stays plain characters. Their ids
    come from `special_ids`.
    """
    ids = {token: number for number, token in enumerate(vocabulary["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in vocabulary["merges"]]
    bpe = Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=False))
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    return bpe


def special_ids(vocabulary: Vocabulary) -> dict[str, int]:
    """The ids of the special tokens, by their text."""
    first = len(vocabulary["tokens"]) - len(SPECIALS)
    return {text: first + place for place, (text, _) in enumerate(SPECIALS)}


def main() -> None:
    """Write the cut vocabulary as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="ggml-vocab-qwen2.gguf")
    parser.add_argument("out", type=Path, help="vocabulary.json to write")
    parser.add_argument("--size", type=int, default=24576, help="regular entries to keep")
    args = parser.parse_args()
    vocabulary = cut(args.source, args.size)
    args.out.write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    print(f"{len(vocabulary['tokens'])} tokens, {len(vocabulary['merges'])} merges")


if __name__ == "__main__":
    main()
