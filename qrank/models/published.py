"""The folder of a model as its publisher keeps it on the hub, for models of which there is no GGUF
file that is right: `qrank models pull` makes one of it (docs/models.md)."""

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
_PERHAPS = ("tokenizer_config.json", "sentence_bert_config.json", "modules.json")
_WEIGHTS = "model.safetensors"
_WITHOUT_WEIGHTS = ("Transformer", "Pooling", "Normalize", "LogitScore")

Stage = Callable[[str, int], Callable[[int], None]]  # (what, bytes) -> tell, as hub.download has it


def fetch(entry: Entry, stage: Stage) -> Path:
    """Fetch what a converter reads of an entry's repository into the hub's cache, all of one
    revision; returns the folder. stage: called before each file. Raises ModelError."""
    revision = entry.revision

    def get(name: str) -> Path:
        nonlocal revision
        file = File(f"hf:{entry.repository}/{name}", revision=revision)
        remote = hub.look_up(file)
        revision = remote.revision
        return hub.download(file, remote, stage(file.source, remote.size))

    folder = get("config.json").parent
    get("tokenizer.json")
    for name in _PERHAPS:
        with suppress(hub.NoSuchFile):
            get(name)
    for kind, path in _modules(folder / "modules.json"):
        get(f"{path}/config.json")
        if kind not in _WITHOUT_WEIGHTS:
            get(f"{path}/{_WEIGHTS}")
    get(_WEIGHTS)  # last: a repository of another kind is noticed before
    return folder


def _modules(listing: Path) -> list[tuple[str, str]]:
    """(kind, folder) of the modules that have a folder of their own."""
    if not listing.is_file():
        return []
    try:
        modules = [
            (str(module["type"]).rpartition(".")[2], str(module["path"]))
            for module in json.loads(listing.read_text("utf-8"))
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{listing} is not valid: {error}", hint="pull it again") from error
    named = [(kind, path) for kind, path in modules if path]
    if not all(_PATH.fullmatch(path) for _, path in named):
        raise ModelError(f"{listing} names folders that a model does not have")
    return [(kind, path) for kind, path in named if kind != "Normalize"]
