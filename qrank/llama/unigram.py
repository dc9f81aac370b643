"""A Unigram tokenizer (SentencePiece, as in XLM-R), for files with a vocabulary in qrank's own
metadata.

llama.cpp needs a second and 400 MB to load 250,000 pieces, a Python dict a tenth of that. A word is
split into the pieces with the highest sum of scores. The token ids are equal to those of Hugging
Face's `tokenizers` (benchmarks/e5_package.py compares them).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain, repeat

from qrank.errors import ModelError
from qrank.llama.gguf import ModelFile

KEY = "qrank.unigram"
SPACE = "▁"  # stands for the space before a word
_UNKNOWN_PENALTY = 10.0  # an unknown character's score is so far below the lowest (SentencePiece)
_MOST_CACHED = 1 << 16  # words in the cache
_LONGEST_CACHED = 32  # characters: longer words rarely recur
_WORD = re.compile(f"{SPACE}[^{SPACE}]*")


class Unigram:
    """Tokenizes text with a Unigram vocabulary."""

    def __init__(
        self,
        pieces: list[str],
        scores: Sequence[float],
        control: list[int],
        unknown: int,
        replaced: dict[int, str],
    ) -> None:
        """pieces, scores: by token id. control: ids that no text can produce. unknown: the id for
        unknown characters. replaced: the normalization of single characters, by code point."""
        self._ids = dict(zip(pieces, range(len(pieces)), strict=True))
        for i in control:
            self._ids.pop(pieces[i], None)
        self._scores = scores
        self._longest = max(map(len, pieces))
        self._unknown, self._unknown_score = unknown, min(scores) - _UNKNOWN_PENALTY
        self._replaced = replaced
        self._cache: dict[str, list[int]] = {}

    def tokens(self, text: str) -> list[int]:
        """Tokenize a text, without special tokens around it."""
        # First single characters (NFKC and more), then sequences, such as "e" and an accent.
        text = unicodedata.normalize("NFC", text.translate(self._replaced))
        return list(chain.from_iterable(map(self._word, text.split())))

    def _word(self, word: str) -> list[int]:
        tokens = self._cache.get(word)
        if tokens is not None:
            return tokens
        spaced = word if word.startswith(SPACE) else SPACE + word
        parts = _WORD.findall(spaced) if SPACE in word else [spaced]
        ids = list(chain.from_iterable(map(self._best_pieces, parts)))
        if len(word) <= _LONGEST_CACHED:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    def _best_pieces(self, word: str) -> list[int]:
        """Split a word by the Viterbi algorithm; adjacent unknown characters are one token."""
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


def has_vocabulary(file: ModelFile) -> bool:
    """Whether a file has a vocabulary for this tokenizer."""
    return f"{KEY}.pieces" in file.metadata


def ends(file: ModelFile) -> tuple[int, int]:
    """The ids of the tokens at a text's start and end; -1 for one that the file does not have."""
    names = ("bos", "eos")
    ids = [file.metadata.get(f"tokenizer.ggml.{name}_token_id", -1) for name in names]
    start, end = (i if type(i) is int else -1 for i in ids)
    return start, end


def read(file: ModelFile) -> Unigram:
    """Load the tokenizer from a file's metadata. Raises ModelError when that is damaged."""
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
