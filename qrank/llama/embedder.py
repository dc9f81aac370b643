"""Texts -> unit vectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrank.errors import InputError
from qrank.llama.context import (
    DecoderContext,
    EncoderContext,
    Output,
    Pack,
    Prefixed,
    pooled,
)
from qrank.llama.engine import MAX_TOKENS, Frame, Model
from qrank.llama.gguf import POOLING, ModelFile, require_embedder
from qrank.llama.lanes import Lanes
from qrank.processors import count_tokens
from qrank.prompts import Templates, clean, templates
from qrank.results import Embedded
from qrank.settings import Placement


class TextOutput(NamedTuple):
    """A text's vector as the model makes it, the number of its tokens, and whether its end was
    truncated because it is longer than the model's window."""

    vector: NDArray[np.float32]
    tokens: int
    truncated: bool


def embedded(outputs: Sequence[TextOutput], length: int) -> Embedded:
    """Unit vectors of so many dimensions, out of what a model said of texts."""
    vectors = np.zeros((len(outputs), length), dtype=np.float32)
    for i, output in enumerate(outputs):
        vectors[i] = output.vector[:length]  # Matryoshka: a prefix, normalised again
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norms > 0, norms, 1.0)
    truncated = [i for i, output in enumerate(outputs) if output.truncated]
    return Embedded(vectors, truncated)


class LlamaEmbedder:
    """An embedding model: Qwen3-Embedding and other causal ones that pool by their last token,
    or one of the BERT family with the pooling its file names. Its vectors depend on text and
    file alone, never on the batch."""

    def __init__(
        self, file: ModelFile, placement: Placement, around: Templates | None = None
    ) -> None:
        """Load the model; around: what stands around its texts, by default its family's.

        Raises ModelError when the file is no embedder that qrank can run.
        """
        require_embedder(file)
        self._around = around or templates(file.architecture, None, None)
        self._model = Model(file, placement)
        self._frame = Frame(self._model)
        make = partial(
            DecoderContext if file.causal else EncoderContext,
            embeddings=True,
            pooling=POOLING.index(file.pooling),
            flash_attention=True,
        )
        self._lanes: Lanes[DecoderContext | EncoderContext] = Lanes(self._model, make)
        self.window = min(MAX_TOKENS, file.context_length)

    @property
    def dims(self) -> int:
        """The length of a whole vector."""
        return self._model.dims

    @property
    def takes_instruction(self) -> bool:
        """Whether the query prompt has a place for an instruction."""
        return self._around.takes_instruction

    @property
    def decoded(self) -> int:
        """How many tokens the model has computed."""
        return self._lanes.decoded

    def documents(self, texts: Sequence[str], dims: int | None = None) -> Embedded:
        """Unit vectors of document texts.

        A text longer than the model's window is truncated, as the reference implementations do.
        Raises InputError for dims out of range.
        """
        return self._embed(self.prompted(texts, False, None), dims)

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> Embedded:
        """Unit vectors of queries. Raises InputError for an instruction where the model's prompt
        has no place for one."""
        return self._embed(self.prompted(texts, True, instruction), dims)

    def stream(self, groups: Iterable[Sequence[str]]) -> Iterator[Embedded]:
        """The vectors of groups of documents, in order, as each is done; what comes next is at work
        before a group is done."""
        sizes: deque[int] = deque()
        truncated: deque[bool] = deque()

        def packs_of_groups() -> Iterator[Pack]:
            for texts in groups:
                sizes.append(len(texts))
                yield from self._packs(self.prompted(texts, False, None), truncated)

        made: list[TextOutput] = []
        with closing(self._lanes.run(packs_of_groups(), self._work)) as done:
            for outputs in done:
                count_tokens(sum(output.tokens for output in outputs))
                made += [TextOutput(*output, truncated.popleft()) for output in outputs]
                while sizes and len(made) >= sizes[0]:
                    count = sizes.popleft()
                    yield embedded(made[:count], self.dims)
                    del made[:count]
        for _ in sizes:  # groups without texts
            yield embedded([], self.dims)

    def _embed(self, texts: Sequence[str], dims: int | None) -> Embedded:
        self.require_dims(dims)
        with closing(self.outputs(texts)) as packs:
            outputs = list(chain.from_iterable(packs))
        count_tokens(sum(output.tokens for output in outputs))
        return embedded(outputs, dims or self.dims)

    def require_dims(self, dims: int | None) -> None:
        """Raise InputError for a length that vectors can't be cut to."""
        if dims is not None and not 1 <= dims <= self.dims:
            raise InputError(f"--dims {dims} is out of range: the model has {self.dims}")

    def prompted(self, texts: Sequence[str], is_query: bool, instruction: str | None) -> list[str]:
        """The texts as the model is given them. Raises InputError as queries does."""
        if is_query:
            return [self._around.of_query(text, instruction) for text in texts]
        return [self._around.of_document(text) for text in texts]

    def outputs(self, texts: Iterable[str]) -> Generator[list[TextOutput], None, None]:
        """Yield the model's outputs for texts as `prompted` gives them, in order, pack by pack. The
        next texts are asked for while packs are computed."""
        truncated: deque[bool] = deque()
        self._model.require_open()
        with closing(self._lanes.run(self._packs(texts, truncated), self._work)) as done:
            for outputs in done:
                yield [TextOutput(*output, truncated.popleft()) for output in outputs]

    def _packs(self, texts: Iterable[str], truncated: deque[bool]) -> Iterator[Pack]:
        """The texts' tokens. truncated is called for each text with whether it was cut."""

        def sequences() -> Iterator[Prefixed]:
            for text in texts:
                ids = self._model.tokens(clean(text))
                truncated.append(len(ids) > self._frame.room(self.window))
                yield (), self._frame.text(ids, self.window)

        return self._lanes.packs(sequences())

    def _work(self, context: DecoderContext | EncoderContext, pack: Pack) -> list[Output]:
        if isinstance(context, EncoderContext):
            return context.pooled_outputs(pack, self.dims)
        return context.last_outputs(pack, lambda at, i, _row: pooled(at, i, self.dims), self)

    def close(self) -> None:
        """Free the model."""
        self._lanes.close()
        self._model.close()
