"""Packing the best chunks into a number of tokens, for a language model's context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from qrank.results import Result, location

BYTES_PER_TOKEN = 3.0  # Qwen's tokenizer: 4.2 in English, 3.6 in code, 3.1 French, 2.7 Hindi
_LABEL_TOKENS = 4  # for the brackets, spaces and line ends around a chunk


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """One or several adjacent chunks of a file, for a language model."""

    path: str
    heading: str
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int
    page: int | None
    score: float  # of the best of them
    ids: list[str]
    tokens: int  # estimated, with its location
    text: str
    stale: bool | None
    member: str | None = None

    @property
    def location(self) -> str:
        """The file's path, followed by that of the member, if any."""
        return location(self.path, self.member)


@dataclass(frozen=True, slots=True)
class Packed:
    """The best chunks that fit into max_tokens. tokens: their estimated number of tokens; best:
    that of the best chunk alone, whether it fits or not."""

    query: str
    max_tokens: int
    tokens: int
    chunks: list[PackedChunk]
    best: int = 0


def estimate(text: str) -> int:
    """About how many tokens a text has for most models; an overestimate for most languages.

    >>> estimate("seven words of English are estimated as"), estimate("")
    (13, 0)
    """
    return -int(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def pack(query: str, results: Sequence[Result], max_tokens: int) -> Packed:
    """Select the best results that fit into max_tokens, locations included, and merge adjacent
    chunks.

    Results are tried best first; one that does not fit is skipped. If even the best one is too
    long, it is truncated and the only one. Files are ordered by their best chunk, the chunks of a
    file by position.
    """
    chosen: list[Result] = []
    packed: list[PackedChunk] = []
    for result in results:
        longer = _merged([*chosen, result])
        if sum(chunk.tokens for chunk in longer) <= max_tokens:
            chosen.append(result)
            packed = longer
    if results and not packed:
        packed = _truncated(results[0], max_tokens)
    best = _chunk(results[:1]).tokens if results else 0
    return Packed(query, max_tokens, sum(chunk.tokens for chunk in packed), packed, best)


def _merged(results: Sequence[Result]) -> list[PackedChunk]:
    by_file: dict[str, list[Result]] = {}
    for result in results:
        by_file.setdefault(result.location, []).append(result)
    runs: list[list[Result]] = []
    for group in by_file.values():
        for result in sorted(group, key=lambda r: r.start_byte):
            if runs and _follows(runs[-1][-1], result):
                runs[-1].append(result)
            else:
                runs.append([result])
    return [_chunk(run) for run in runs]


def _follows(before: Result, result: Result) -> bool:
    """Whether result is the next chunk of the same file: chunks are numbered in file order."""
    same_file = (before.location, before.collection) == (result.location, result.collection)
    return same_file and result.number == before.number + 1


def _chunk(run: Sequence[Result]) -> PackedChunk:
    text = run[0].text
    for before, result in pairwise(run):
        text += "\n" * (result.start_line - before.end_line) or " "
        text += result.text
    return _packed(run, text, run[-1].end_line, run[-1].end_byte)


def _packed(run: Sequence[Result], text: str, end_line: int, end_byte: int) -> PackedChunk:
    first = run[0]
    label = f"{first.location}:{first.start_line}-{end_line} {first.heading}"
    return PackedChunk(
        path=first.path,
        member=first.member,
        heading=first.heading,
        start_line=first.start_line,
        end_line=end_line,
        start_byte=first.start_byte,
        end_byte=end_byte,
        page=first.page,
        score=max(result.score for result in run),
        ids=[result.id for result in run],
        tokens=estimate(f"{label}{text}") + _LABEL_TOKENS,
        text=text,
        stale=next((each.stale for each in run if each.stale is not False), False),
    )


def _truncated(result: Result, max_tokens: int) -> list[PackedChunk]:
    """A chunk truncated to what fits: whole lines, or else whole words; [] if nothing fits."""
    for separator in ("\n", " "):
        cuts = [i for i, char in enumerate(result.text) if char == separator]
        for cut in reversed(cuts):
            text = result.text[:cut].rstrip()
            end_line = result.start_line + text.count("\n")
            end_byte = result.start_byte + len(text.encode("utf-8", "replace"))
            chunk = _packed([result], text, end_line, end_byte)
            if text and chunk.tokens <= max_tokens:
                return [chunk]
    return []
