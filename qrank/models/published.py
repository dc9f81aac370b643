"""Downloading a model's published folder (safetensors) from the hub, for models without a correct
GGUF file: `qrank models pull` converts the folder (docs/models.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qrank.errors import ModelError
from qrank.models import hub
from qrank.models.registry import Entry, File

_PATH = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*")
_OPTIONAL = ("tokenizer_config.json", "sentence_bert_config.json", "modules.json")
_WEIGHTS = "model.safetensors"
_WITHOUT_WEIGHTS = ("Transformer", "Pooling", "Normalize", "LogitScore")

Stage = Callable[[str, int], Callable[[int], None]]  # (source, bytes) -> progress of hub.download


def fetch(entry: Entry, stage: Stage) -> Path:
    """Download the files of an entry's repository that a converter reads into the hub's cache, all
    of the same revision. Returns their folder. stage: called before each file. Raises
    ModelError."""
    revision = entry.revision

    def get(name: str) -> Path:
        nonlocal revision
        file = File(f"hf:{entry.repository}/{name}", revision=revision)
        remote = hub.look_up(file)
        revision = remote.revision
        return hub.download(file, remote, stage(file.source, remote.size))

    folder = get("config.json").parent
    get("tokenizer.json")
    for name in _OPTIONAL:
        with suppress(hub.NoSuchFile):
            get(name)
    for kind, path in _modules(folder / "modules.json"):
        get(f"{path}/config.json")
        if kind not in _WITHOUT_WEIGHTS:
            get(f"{path}/{_WEIGHTS}")
    get(_WEIGHTS)  # last, since it is large: other kinds of repositories fail before
    return folder


def _modules(listing: Path) -> list[tuple[str, str]]:
    """(kind, folder) of the sentence-transformers modules that have a folder of their own."""
    if not listing.is_file():
        return []
    try:
        modules = [
            (str(module["type"]).rpartition(".")[2], str(module["path"]))
            for module in json.loads(listing.read_text("utf-8"))
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{listing} is not valid: {error}", hint="pull it again") from error
    in_folders = [(kind, path) for kind, path in modules if path]
    if not all(_PATH.fullmatch(path) for _, path in in_folders):
        raise ModelError(f"{listing} names folders that a model does not have")
    return [(kind, path) for kind, path in in_folders if kind != "Normalize"]
