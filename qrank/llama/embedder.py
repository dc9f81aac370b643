"""Embedding texts with a GGUF model: texts -> unit vectors."""

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
    Batch,
    DecoderContext,
    EncoderContext,
    Output,
    Prefixed,
    pooled,
)
from qrank.llama.context_pool import ContextPool
from qrank.llama.engine import MAX_TOKENS, Model, SpecialTokens
from qrank.llama.gguf import POOLING, ModelFile, require_embedder
from qrank.processors import count_tokens
from qrank.prompts import Templates, clean, templates
from qrank.results import Embedded
from qrank.settings import Placement


class TextOutput(NamedTuple):
    """A text's vector of shape (dims,), not normalized; the number of its tokens; and whether it
    was truncated to the model's context."""

    vector: NDArray[np.float32]
    tokens: int
    truncated: bool


def embedded(outputs: Sequence[TextOutput], length: int) -> Embedded:
    """Truncate the vectors to length dims and normalize them; indices of truncated texts."""
    vectors = np.zeros((len(outputs), length), dtype=np.float32)
    for i, output in enumerate(outputs):
        vectors[i] = output.vector[:length]  # Matryoshka: a prefix of the vector, normalized
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norms > 0, norms, 1.0)
    truncated = [i for i, output in enumerate(outputs) if output.truncated]
    return Embedded(vectors, truncated)


class LlamaEmbedder:
    """An embedding model: Qwen3-Embedding and other causal ones with last-token pooling, or one of
    the BERT family with the pooling that its file names. A text's vector does not depend on the
    other texts of its batch. Thread-safe."""

    def __init__(
        self, file: ModelFile, placement: Placement, around: Templates | None = None
    ) -> None:
        """Load the model. around: the prompts for queries and documents; by default those of the
        model's architecture.

        Raises ModelError when the file is not an embedder that qrank can run.
        """
        require_embedder(file)
        self._around = around or templates(file.architecture, None, None)
        self._model = Model(file, placement)
        self._special = SpecialTokens(self._model)
        make = partial(
            DecoderContext if file.causal else EncoderContext,
            embeddings=True,
            pooling=POOLING.index(file.pooling),
            flash_attention=True,
        )
        self._contexts: ContextPool[DecoderContext | EncoderContext] = ContextPool(
            self._model, make
        )
        self.window = min(MAX_TOKENS, file.context_length)

    @property
    def dims(self) -> int:
        """The length of a vector that is not truncated."""
        return self._model.dims

    @property
    def takes_instruction(self) -> bool:
        """Whether the query prompt has a place for an instruction."""
        return self._around.takes_instruction

    @property
    def decoded(self) -> int:
        """How many tokens have been decoded."""
        return self._contexts.decoded

    def documents(self, texts: Sequence[str], dims: int | None = None) -> Embedded:
        """Unit vectors of documents, of shape (texts, dims); dims: truncate vectors to this length.

        A text longer than the model's context is truncated, as the reference implementations do.
        Raises InputError for dims out of range, ModelError for a closed model.
        """
        return self._embed(self.prompted(texts, False, None), dims)

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> Embedded:
        """Unit vectors of queries, as `documents`. Raises InputError also for an instruction if the
        model's prompt takes none."""
        return self._embed(self.prompted(texts, True, instruction), dims)

    def stream(self, groups: Iterable[Sequence[str]]) -> Iterator[Embedded]:
        """Embed groups of documents: yields each group's vectors as soon as they are done, in
        order. The next groups are read and computed meanwhile."""
        sizes: deque[int] = deque()
        truncated: deque[bool] = deque()

        def batches_of_groups() -> Iterator[Batch]:
            for texts in groups:
                sizes.append(len(texts))
                yield from self._batches(self.prompted(texts, False, None), truncated)

        results: list[TextOutput] = []
        with closing(self._contexts.run(batches_of_groups(), self._work)) as done:
            for outputs in done:
                count_tokens(sum(output.tokens for output in outputs))
                results += [TextOutput(*output, truncated.popleft()) for output in outputs]
                while sizes and len(results) >= sizes[0]:
                    count = sizes.popleft()
                    yield embedded(results[:count], self.dims)
                    del results[:count]
        for _ in sizes:  # groups without texts
            yield embedded([], self.dims)

    def _embed(self, texts: Sequence[str], dims: int | None) -> Embedded:
        self.require_dims(dims)
        with closing(self.outputs(texts)) as batches:
            outputs = list(chain.from_iterable(batches))
        count_tokens(sum(output.tokens for output in outputs))
        return embedded(outputs, dims or self.dims)

    def require_dims(self, dims: int | None) -> None:
        """Raise InputError unless vectors can be truncated to dims."""
        if dims is not None and not 1 <= dims <= self.dims:
            raise InputError(f"--dims {dims} is out of range: the model has {self.dims}")

    def prompted(self, texts: Sequence[str], is_query: bool, instruction: str | None) -> list[str]:
        """The texts with the model's prompt. Raises InputError for an instruction that the prompt
        does not take."""
        if is_query:
            return [self._around.of_query(text, instruction) for text in texts]
        return [self._around.of_document(text) for text in texts]

    def outputs(self, texts: Iterable[str]) -> Generator[list[TextOutput], None, None]:
        """Yield the outputs of texts, which have their prompt (`prompted`), batch by batch, in
        order. Further texts are taken from the iterable while batches are computed."""
        truncated: deque[bool] = deque()
        self._model.require_open()
        with closing(self._contexts.run(self._batches(texts, truncated), self._work)) as done:
            for outputs in done:
                yield [TextOutput(*output, truncated.popleft()) for output in outputs]

    def _batches(self, texts: Iterable[str], truncated: deque[bool]) -> Iterator[Batch]:
        """Batches of the texts' tokens. For each text, whether it is truncated is appended to
        truncated."""

        def sequences() -> Iterator[Prefixed]:
            for text in texts:
                ids = self._model.tokens(clean(text))
                truncated.append(len(ids) > self._special.room(self.window))
                yield (), self._special.text(ids, self.window)

        return self._contexts.batches(sequences())

    def _work(self, context: DecoderContext | EncoderContext, batch: Batch) -> list[Output]:
        if isinstance(context, EncoderContext):
            return context.pooled_outputs(batch, self.dims)
        return context.last_outputs(batch, lambda at, i, _row: pooled(at, i, self.dims), self)

    def close(self) -> None:
        """Free the model, after the batches that are being computed."""
        self._contexts.close()
        self._model.close()
