"""The speed of model files on this machine: measured once, cached, compared."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qrank.inference.loading import file_hash
from qrank.llama import gguf
from qrank.models.registry import Role
from qrank.progress import Progress
from qrank.results import Signature
from qrank.settings import Placement
from qrank.store.cache import Cache

SECONDS = 3.0  # of measuring a file, after one text to warm up
IN_ALL = 40.0  # of measuring several
BATCH = 8
CLOSE = 0.9  # of the fastest: near enough for the more exact file to be recommended
PRECISION = ("F32", "BF16", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")  # best first

# About 200 tokens, the length of a usual chunk.
TEXT = " ".join(
    f"The pump in hall {i} moved {i * 37} litres of water in {i + 2} hours." for i in range(11)
)


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of a file."""

    path: Path
    quantization: str
    bytes: int
    tokens_per_second: float
    chunks_per_second: float


def bench(
    role: Role, path: Path, placement: Placement, seconds: float = SECONDS, *, keep: bool = True
) -> Speed:
    """Measure a file for a few seconds, and unless keep is False remember the result for this
    machine, build of llama.cpp and content of the file. Raises ModelError."""
    header = gguf.read_header(path)
    with closing(_Runner(role, header, placement)) as runner:
        tokens, chunks = rates(runner, seconds)
    speed = Speed(
        path, quantization(header), path.stat().st_size, round(tokens, 1), round(chunks, 2)
    )
    if keep:
        cache = Cache()
        cache.put_speed(file_hash(cache, path), speed.tokens_per_second)
    return speed


def known_speed(path: Path) -> float | None:
    """Tokens a second of a file that was measured here before, wherever it lay then; None also
    where its hash is not known yet."""
    cache = Cache()
    digest = cache.model_hash(str(path), Signature.of(path.stat()))
    return cache.speeds().get(digest) if digest else None


class Texts(Protocol):
    """A model, and texts for it."""

    @property
    def decoded(self) -> int:
        """How many tokens the model has computed."""

    def run(self, count: int) -> None:
        """Put so many texts through the model, BATCH at most."""


def rates(
    model: Texts, seconds: float = SECONDS, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float]:
    """(tokens, texts) a second, measured for so many seconds, or by one text where that takes
    longer: a model of 8B reads one in twenty seconds on two cores."""
    started = clock()
    model.run(1)
    count = max(1, min(BATCH, int(seconds / max(clock() - started, 1e-6))))
    texts, before, started = 0, model.decoded, clock()
    while (spent := clock() - started) < seconds:
        model.run(count)
        texts += count
    return (model.decoded - before) / spent, texts / spent


class _Runner:
    """A loaded model, and a batch of texts for it."""

    def __init__(self, role: Role, header: gguf.ModelFile, placement: Placement) -> None:
        from qrank.llama.embedder import LlamaEmbedder
        from qrank.llama.reranker import LlamaReranker

        self._texts = [f"{i}. {TEXT}" for i in range(BATCH)]
        self._model: LlamaEmbedder | LlamaReranker
        if role is Role.embedder:
            self._model = LlamaEmbedder(header, placement)
        else:
            self._model = LlamaReranker(header, placement)

    @property
    def decoded(self) -> int:
        """How many tokens the model has computed."""
        return self._model.decoded

    def run(self, count: int) -> None:
        """As Texts.run."""
        from qrank.llama.embedder import LlamaEmbedder

        texts = self._texts[:count]
        if isinstance(self._model, LlamaEmbedder):
            self._model.documents(texts)
        else:
            for _ in self._model.scores("how much water was moved", texts):
                pass

    def close(self) -> None:
        """Free the model."""
        self._model.close()


def bench_types(
    role: Role,
    path: Path,
    kinds: Iterable[str],
    placement: Placement,
    progress: Progress,
    seconds: float = SECONDS,
    *,
    keep: bool = True,
) -> list[Speed]:
    """The speed of a file and of what it would be as other types: those are made for this once.

    Their speed is that of the published files of the type; their answers are not, so they go.
    """
    from qrank.llama.quantize import quantize

    progress.stage(f"measuring {path.name}", None)
    rows = [bench(role, path, placement, seconds, keep=keep)]
    with tempfile.TemporaryDirectory(prefix="qrank-bench-") as folder:
        for kind in kinds:
            if kind == rows[0].quantization:
                continue
            made = Path(folder) / f"{kind}.gguf"
            progress.stage(f"quantizing {path.name} to {kind}", None)
            quantize(path, made, kind, again=True)
            progress.stage(f"measuring {kind}", None)
            rows.append(bench(role, made, placement, seconds, keep=False))
            made.unlink()
    return rows


def recommended(speeds: Iterable[Speed]) -> Speed:
    """The most exact of those that are nearly as fast as the fastest."""
    measured = list(speeds)
    fastest = max(speed.tokens_per_second for speed in measured)
    near = [s for s in measured if s.tokens_per_second >= CLOSE * fastest]
    return min(near, key=lambda s: _rank(s.quantization))


def _rank(kind: str) -> int:
    return PRECISION.index(kind) if kind in PRECISION else len(PRECISION)


def quantization(header: gguf.ModelFile) -> str:
    """The type that most of a file's weights have, by its own word (general.file_type)."""
    number = header.metadata.get("general.file_type")
    return _FILE_TYPES.get(number, "") if isinstance(number, int) else ""


_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 7: "Q8_0", 15: "Q4_K_M", 17: "Q5_K_M", 18: "Q6_K"}
_FILE_TYPES |= {32: "BF16"}
