"""Texts -> unit vectors, by a model of the Qwen3-Embedding family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    def query(
        self, text: str, instruction: str | None = None, dims: int | None = None
    ) -> NDArray[np.float32]:
        """The unit vector of a query, of shape (dims,)."""
        prompt = prompts.embed_query(text, instruction)
        return self._vectors([self._tokens(prompt)], dims)[0]

    def _tokens(self, text: str) -> list[int]:
        ids = self._model.tokens(clean(text))
        return [*ids[: self._limit - 1], self._model.end_token()]

    def _vectors(self, sequences: list[list[int]], dims: int | None) -> NDArray[np.float32]:
        kept = dims or self.dims
        if not 1 <= kept <= self.dims:
            raise InputError(f"--dims {kept} is out of range: the model has {self.dims}")
        vectors = np.zeros((len(sequences), kept), dtype=np.float32)
        for i, output in self._outputs(sequences):
            vectors[i] = output[:kept]  # Matryoshka: a prefix, normalised again
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(norms > 0, norms, 1.0)

    def _outputs(self, sequences: list[list[int]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        def read(context: Any, sequence: int, _row: int) -> NDArray[np.float32]:
            return pooled(context, sequence, self.dims)

        return self._context.last_outputs([], sequences, read)

    def close(self) -> None:
        """Free the model."""
        self._context.close()
        self._model.close()
