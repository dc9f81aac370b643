"""What benchmarks/mteb_adapter.py uses of mteb 2.26 and torch, without them: mteb brings torch,
datasets and sentence-transformers, some gigabytes that no other test needs. Only names and forms
of what is passed on are here; tests/test_mteb.py runs the adapter in the real package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Any

KIND_PROMPT = "Retrieve text based on user query."  # AbsTaskRetrieval.abstask_prompt


class PromptType(StrEnum):
    query = "query"
    document = "document"


class ScoringFunction(StrEnum):
    COSINE = "cosine"


@dataclass
class TaskMetadata:
    name: str
    prompt: str | dict[str, str] | None = None


class AbsEncoder:
    pass


class ModelMeta(dict[str, Any]):
    @classmethod
    def create_empty(cls, overwrites: dict[str, Any]) -> ModelMeta:
        return cls(overwrites)


class DataLoader:
    """Batches of rows as dicts of columns, as torch's does of a datasets.Dataset."""

    def __init__(self, dataset: Sequence[dict[str, Any]], batch_size: int = 2) -> None:
        self.dataset = dataset
        self._size = batch_size

    def __class_getitem__(cls, _: Any) -> type[DataLoader]:
        return cls

    def __iter__(self) -> Iterator[dict[str, list[Any]]]:
        for at in range(0, len(self.dataset), self._size):
            rows = self.dataset[at : at + self._size]
            yield {name: [row[name] for row in rows] for name in rows[0]}


def modules() -> dict[str, ModuleType]:
    """The modules to put into sys.modules, by name."""
    held: dict[str, dict[str, Any]] = {
        "mteb": {},
        "mteb.abstasks": {},
        "mteb.abstasks.abstask": {"get_abstask_prompt": lambda _: KIND_PROMPT},
        "mteb.abstasks.task_metadata": {"TaskMetadata": TaskMetadata},
        "mteb.models": {},
        "mteb.models.abs_encoder": {"AbsEncoder": AbsEncoder},
        "mteb.models.model_meta": {"ModelMeta": ModelMeta, "ScoringFunction": ScoringFunction},
        "mteb.types": {"PromptType": PromptType},
        "torch": {},
        "torch.utils": {},
        "torch.utils.data": {"DataLoader": DataLoader},
    }
    made = {}
    for name, names in held.items():
        made[name] = ModuleType(name)
        vars(made[name]).update(names)
    return made
