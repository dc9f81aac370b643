"""qrank's embedder and reranker as models of the `mteb` package (pip install mteb).

qrank's `instruction` is the query's own one (FollowIR), else the prompt given for the task, else
that of the task's metadata, else mteb's for the type of task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
from mteb.abstasks.abstask import get_abstask_prompt
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import PromptType
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

import qrank
from qrank.config import load_settings
from qrank.llama.engine import MAX_TOKENS
from qrank.llama.gguf import sha256
from qrank.models.registry import ModelChoice, Registry, Role

Prompts = Mapping[str, str | Mapping[str, str]]  # task name -> its prompt, or {"query": prompt}
Row = dict[str, Any]


class Encoder(AbsEncoder):
    """An embedder of qrank's as mteb's EncoderProtocol."""

    def __init__(self, name: str = "auto", prompts: Prompts | None = None) -> None:
        """name: as on qrank's command line. prompts: override mteb's. Raises QrankError."""
        choice = Registry(load_settings()).resolve(Role.embedder, name)
        self._embedding = qrank.Embedding(str(choice.path))
        self._prompts = prompts or {}
        self.mteb_model_meta = _meta(
            choice,
            self._embedding.takes_instruction,
            "dense",
            similarity_fn_name=ScoringFunction.COSINE,
        )

    def encode(
        self,
        inputs: DataLoader[Any],
        *,
        task_metadata: TaskMetadata,
        prompt_type: PromptType | None = None,
        show_progress_bar: bool = True,
        **_: Any,
    ) -> NDArray[np.float32]:
        """Unit vectors of the texts, of shape (texts, dims). Texts that are not documents are
        embedded as queries, with the task's instruction."""
        query = prompt_type is not PromptType.document
        instructed = query and self._embedding.takes_instruction
        instruction = task_instruction(task_metadata, self._prompts) if instructed else None
        with _bar(inputs, "embedding", show_progress_bar) as bar:
            parts = []
            for batch in inputs:
                texts = batch["text"]
                parts.append(self._embedding(texts, query=query, instruction=instruction))
                bar.update(len(texts))
        return np.concatenate(parts)

    def close(self) -> None:
        """Free the model."""
        self._embedding.close()


class CrossEncoder:
    """A reranker of qrank's as mteb's CrossEncoderProtocol."""

    def __init__(self, name: str = "auto", prompts: Prompts | None = None) -> None:
        """As Encoder."""
        choice = Registry(load_settings()).resolve(Role.reranker, name)
        self._reranking = qrank.Reranking(str(choice.path))
        self._prompts = prompts or {}
        self.mteb_model_meta = _meta(choice, self._reranking.takes_instruction, "cross-encoder")

    def predict(
        self,
        inputs1: DataLoader[Any],
        inputs2: DataLoader[Any],
        *,
        task_metadata: TaskMetadata,
        show_progress_bar: bool = True,
        **_: Any,
    ) -> NDArray[np.float64]:
        """The score of each pair of a query (inputs1) and a text (inputs2), as in `qrank rerank`.
        Consecutive pairs of the same query are reranked together."""
        task = task_instruction(task_metadata, self._prompts)
        scores: list[float] = []
        with _bar(inputs1, "reranking", show_progress_bar) as bar:
            pairs = zip(_rows(inputs1), _rows(inputs2), strict=True)
            for (query, instruction), group in groupby(
                pairs, key=lambda pair: self._question(pair[0], task)
            ):
                texts = [document["text"] for _, document in group]
                group_scores = [0.0] * len(texts)
                for item in self._reranking(query, texts, instruction=instruction):
                    group_scores[item.index] = item.score or 0.0
                scores += group_scores
                bar.update(len(texts))
        return np.array(scores)

    def _question(self, row: Row, task: str | None) -> tuple[str, str | None]:
        """(query, instruction). mteb's "text" is the query followed by its own instruction, for
        models that take no instruction."""
        if not self._reranking.takes_instruction:
            return row["text"], None
        return row.get("query", row["text"]), row.get("instruction") or task

    def close(self) -> None:
        """Free the model."""
        self._reranking.close()


def task_instruction(task: TaskMetadata, prompts: Prompts) -> str | None:
    """The instruction for a task's queries; None when there is none."""
    for prompt in (prompts.get(task.name), task.prompt):
        text = prompt.get("query") if isinstance(prompt, Mapping) else prompt
        if text:
            return str(text)
    return get_abstask_prompt(task.name) or None


def _meta(choice: ModelChoice, takes_instruction: bool, kind: str, **more: Any) -> ModelMeta:
    """The model's metadata. Its revision has the file's hash and qrank's version, so that mteb
    does not reuse results of another model or version."""
    return ModelMeta.create_empty(
        {
            "name": f"qrank/{choice.path.stem}",
            "revision": f"{sha256(choice.path)[:12]}-qrank-{qrank.__version__}",
            "max_tokens": MAX_TOKENS,
            "use_instructions": takes_instruction,
            "model_type": [kind],
            "framework": ["GGUF"],
            **more,
        }
    )


def _rows(loader: DataLoader[Any]) -> Iterator[Row]:
    """The rows of a loader's batches; a batch is a dict of columns."""
    for batch in loader:
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))


def _bar(loader: DataLoader[Any], doing: str, shown: bool) -> tqdm[Any]:
    return tqdm(total=len(loader.dataset), desc=doing, disable=not shown)  # type: ignore[arg-type]
