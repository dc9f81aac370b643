"""The tokeniser of XLM-R and its like (SentencePiece's Unigram), for files that carry a vocabulary
for qrank alone.

llama.cpp needs a second and 400 MB to load 250,000 pieces; as a dict they are there in a tenth of
that. A word becomes the pieces whose scores have the highest sum. The ids are those of HF
`tokenizers` with the same pieces (benchmarks/e5_package.py compares).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain, repeat

from qrank.errors import ModelError
from qrank.llama.gguf import ModelFile

KEY = "qrank.unigram"
SPACE = "▁"  # what a word begins with
_UNKNOWN_PENALTY = 10.0  # below the lowest score, as SentencePiece has it
_MOST_KNOWN = 1 << 16  # words that are remembered
_LONGEST_KNOWN = 32  # characters of a word that may come again
_WORD = re.compile(f"{SPACE}[^{SPACE}]*")


class Unigram:
    """Text -> token ids, by a vocabulary."""

    def __init__(
        self,
        pieces: list[str],
        scores: Sequence[float],
        control: list[int],
        unknown: int,
        replaced: dict[int, str],
    ) -> None:
        """replaced: what stands for a character, by its code point. control: tokens that no text
        can produce. A piece's id is its place."""
        self._ids = dict(zip(pieces, range(len(pieces)), strict=True))
        for i in control:
            self._ids.pop(pieces[i], None)
        self._scores = scores
        self._longest = max(map(len, pieces))
        self._unknown, self._unknown_score = unknown, min(scores) - _UNKNOWN_PENALTY
        self._replaced = replaced
        self._cache: dict[str, list[int]] = {}

    def tokens(self, text: str) -> list[int]:
        """The ids of a text, nothing before or after it."""
        # Single characters by the table (NFKC and more), then sequences: "e" and an accent.
        text = unicodedata.normalize("NFC", text.translate(self._replaced))
        return list(chain.from_iterable(map(self._word, text.split())))

    def _word(self, word: str) -> list[int]:
        tokens = self._cache.get(word)
        if tokens is not None:
            return tokens
        marked = word if word.startswith(SPACE) else SPACE + word
        parts = _WORD.findall(marked) if SPACE in word else [marked]
        ids = list(chain.from_iterable(map(self._segmented, parts)))
        if len(word) <= _LONGEST_KNOWN:
            if len(self._cache) >= _MOST_KNOWN:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    def _segmented(self, word: str) -> list[int]:
        """The best pieces of a word (Viterbi); adjacent unknown characters are one token."""
        find, scores, longest = self._ids.get, self._scores, self._longest
        length = len(word)
        best = list(repeat(float("-inf"), length + 1))
        best[0] = 0.0
        begins, piece_at = [0] * (length + 1), [self._unknown] * (length + 1)
        for start in range(length):
            here = best[start]
            single = False
            for end in range(start + 1, min(start + longest, length) + 1):
                piece = find(word[start:end])
                if piece is None:
                    continue
                single = single or end == start + 1
                if here + scores[piece] > best[end]:
                    best[end], begins[end], piece_at[end] = here + scores[piece], start, piece
            if not single and here + self._unknown_score > best[start + 1]:
                best[start + 1] = here + self._unknown_score
                begins[start + 1], piece_at[start + 1] = start, self._unknown
        ids: list[int] = []
        at = length
        while at:
            piece = piece_at[at]
            if not (piece == self._unknown and ids and ids[-1] == piece):
                ids.append(piece)
            at = begins[at]
        ids.reverse()
        return ids


def carried(file: ModelFile) -> bool:
    """Whether a file carries a vocabulary for this tokeniser."""
    return f"{KEY}.pieces" in file.metadata


def ends(file: ModelFile) -> tuple[int, int]:
    """The tokens at a text's beginning and end; -1 for one that the file does not name."""
    names = ("bos", "eos")
    ids = [file.metadata.get(f"tokenizer.ggml.{name}_token_id", -1) for name in names]
    start, end = (i if type(i) is int else -1 for i in ids)
    return start, end


def read(file: ModelFile) -> Unigram:
    """The tokeniser that a file carries. Raises ModelError when its parts don't fit together."""
    try:
        pieces = str(file.metadata[f"{KEY}.pieces"]).split(" ")
        replacements = str(file.metadata[f"{KEY}.replacements"]).split("\n")
        scores = file.array(f"{KEY}.scores", "f")
        control = file.array(f"{KEY}.control", "i").tolist()
        codes = file.array(f"{KEY}.replaced", "i").tolist()
        unknown = int(file.metadata["tokenizer.ggml.unknown_token_id"])
        if not len(pieces) == len(scores) <= file.number("vocab_size", 0):
            raise ValueError(f"{len(pieces)} pieces, {len(scores)} scores")
        if any(not 0 <= i < len(pieces) for i in [*control, unknown]):
            raise ValueError("a token is outside of it")
        replaced = dict(zip(codes, replacements if codes else [], strict=True))
        return Unigram(pieces, scores, control, unknown, replaced)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the model file {file.path} is damaged (its vocabulary: {error})",
            hint="get it again",
        ) from error
