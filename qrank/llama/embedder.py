"""Texts -> unit vectors, by a model of the Qwen3-Embedding family."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrank.errors import InputError, ModelError
from qrank.llama import prompts
from qrank.llama.engine import MAX_TOKENS, Context, Model, clean, pooled
from qrank.llama.gguf import Kind, ModelFile


class Embedder:
    """An embedding model. Its vectors depend on text and file alone, never on the batch."""

    def __init__(self, file: ModelFile) -> None:
        """Load the model. Raises ModelError when the file is no embedder that qrank can run."""
        if file.kind is not Kind.embedder:
            raise ModelError(
                f"{file.path} is {file.kind.value}, not an embedder",
                hint="use it with --rerank-model, or name a Qwen3-Embedding file",
            )
        if file.pooling != "last":
            raise ModelError(f"{file.path} pools by {file.pooling}, which qrank can't run yet")
        self._model = Model(file)
        self._context = Context(self._model, embeddings=True)
        self._limit = min(MAX_TOKENS, file.context_length)

    @property
    def dims(self) -> int:
        """The length of a whole vector."""
        return self._model.dims

    def documents(self, texts: Sequence[str], dims: int | None = None) -> NDArray[np.float32]:
        """Unit vectors of document texts, of shape (len(texts), dims)."""
        return self._vectors([self._tokens(text) for text in texts], dims)

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors of queries, of shape (len(texts), dims)."""
        return self.documents([prompts.embed_query(text, instruction) for text in texts], dims)

    def _tokens(self, text: str) -> list[int]:
        ids = self._model.tokens(clean(text))
        return [*ids[: self._limit - 1], self._model.end_token()]

    def _vectors(self, sequences: list[list[int]], dims: int | None) -> NDArray[np.float32]:
        kept = dims or self.dims
        if not 1 <= kept <= self.dims:
            raise InputError(f"--dims {kept} is out of range: the model has {self.dims}")
        vectors = np.zeros((len(sequences), kept), dtype=np.float32)
        outputs = self._context.last_outputs([], sequences, self._read)
        for i, output in enumerate(chain.from_iterable(outputs)):
            vectors[i] = output[:kept]  # Matryoshka: a prefix, normalised again
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(norms > 0, norms, 1.0)
        return vectors

    def _read(self, context: Any, sequence: int, _row: int) -> NDArray[np.float32]:
        return pooled(context, sequence, self.dims)

    def close(self) -> None:
        """Free the model."""
        self._context.close()
        self._model.close()
