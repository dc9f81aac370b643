"""Texts -> unit vectors."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrank.errors import InputError
from qrank.llama.context import DecoderContext, EncoderContext, pooled
from qrank.llama.engine import MAX_TOKENS, Frame, Model
from qrank.llama.gguf import POOLING, ModelFile, require_embedder
from qrank.prompts import Templates, clean, templates
from qrank.results import Embedded
from qrank.settings import Placement


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
        kind = DecoderContext if file.causal else EncoderContext
        self._context: DecoderContext | EncoderContext = kind(
            self._model,
            embeddings=True,
            pooling=POOLING.index(file.pooling),
            flash_attention=True,
        )
        self.window = min(MAX_TOKENS, file.context_length)
        self._lock = threading.Lock()  # one thread at a time

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
        return self._context.decoded

    def documents(self, texts: Sequence[str], dims: int | None = None) -> Embedded:
        """Unit vectors of document texts.

        A text longer than the model's window is truncated, as the reference implementations do.
        Raises InputError for dims out of range.
        """
        return self._embed([self._around.of_document(text) for text in texts], dims)

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> Embedded:
        """Unit vectors of queries. Raises InputError for an instruction where the model's prompt
        has no place for one."""
        return self._embed([self._around.of_query(text, instruction) for text in texts], dims)

    def stream(self, groups: Iterable[Sequence[str]]) -> Iterator[Embedded]:
        """The vectors of groups of documents, in order, as each is done."""
        for texts in groups:
            yield self.documents(texts)

    def _embed(self, texts: Sequence[str], dims: int | None) -> Embedded:
        length = dims or self.dims
        if not 1 <= length <= self.dims:
            raise InputError(f"--dims {length} is out of range: the model has {self.dims}")
        vectors = np.zeros((len(texts), length), dtype=np.float32)
        truncated: list[int] = []
        with self._lock:
            self._model.require_open()
            outputs = self._outputs(self._sequences(texts, truncated))
            for i, output in enumerate(chain.from_iterable(outputs)):
                vectors[i] = output[:length]  # Matryoshka: a prefix, normalised again
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(norms > 0, norms, 1.0)
        return Embedded(vectors, truncated)

    def _sequences(self, texts: Sequence[str], truncated: list[int]) -> Iterator[list[int]]:
        for i, text in enumerate(texts):
            ids = self._model.tokens(clean(text))
            if len(ids) > self._frame.room(self.window):
                truncated.append(i)
            yield self._frame.text(ids, self.window)

    def _outputs(self, sequences: Iterator[list[int]]) -> Iterator[list[NDArray[np.float32]]]:
        if isinstance(self._context, EncoderContext):
            return self._context.pooled_outputs(sequences, self.dims)

        def read(context: Any, sequence: int, _row: int) -> NDArray[np.float32]:
            return pooled(context, sequence, self.dims)

        return self._context.last_outputs([], sequences, read)

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            self._context.close()
            self._model.close()
