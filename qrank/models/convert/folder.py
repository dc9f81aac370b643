"""Reading a model's published folder: configuration, tokenizer, pooling, weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qrank import files
from qrank.errors import ModelError
from qrank.models.convert.weights import Weight, weights

_POOLING = {"mean": "mean", "cls": "cls", "lasttoken": "last", "mean_tokens": "mean"}
_LIMITS = {"num_hidden_layers": 512, "vocab_size": 1 << 24}  # LLAMA_MAX_LAYERS
_NO_LIMIT = 1 << 24  # tokenizers without a limit have 10^30
_POOLING |= {"cls_token": "cls"}


@dataclass(frozen=True, slots=True)
class Module:
    """A module of sentence-transformers: its class name, folder and configuration."""

    kind: str
    path: Path
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Folder:
    """A published model, as the converters need it."""

    path: Path
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    weights: dict[str, Weight] = field(repr=False)
    pooling: str | None  # mean, cls or last; None: the folder names none
    max_tokens: int | None  # at which sentence-transformers truncates a text
    modules: tuple[Module, ...] = ()  # of sentence-transformers, in order

    @property
    def architecture(self) -> str:
        """The class of the model, such as BertModel."""
        return str((self.config.get("architectures") or ["unknown"])[0])

    def number(self, key: str) -> int:
        """A positive integer of config.json. Raises ModelError when it is missing or too large."""
        value = self.config.get(key)
        if type(value) is not int or not 0 < value <= _LIMITS.get(key, 1 << 31):
            raise ModelError(f"{self.path / 'config.json'} has no valid number {key!r}")
        return value


def read(path: Path) -> Folder:
    """Read a folder. Raises ModelError when a file is missing or damaged."""
    if not path.is_dir():
        raise ModelError(f"there is no folder {path}", hint="name a folder with .safetensors files")
    modules = _modules(path)
    return Folder(
        path=path,
        config=_json(path / "config.json"),
        tokenizer=_json(path / "tokenizer.json"),
        weights=weights(path),
        pooling=_pooling(path, modules),
        max_tokens=_max_tokens(path),
        modules=modules,
    )


def _max_tokens(path: Path) -> int | None:
    """The length at which sentence-transformers truncates: its own setting, else the
    tokenizer's."""
    own = _optional(path / "sentence_bert_config.json").get("max_seq_length")
    length = own or _optional(path / "tokenizer_config.json").get("model_max_length")
    return length if type(length) is int and 0 < length < _NO_LIMIT else None


def _modules(path: Path) -> tuple[Module, ...]:
    """The modules that modules.json lists, with their configurations."""
    listing = path / "modules.json"
    result = []
    for item in _json(listing, list) if listing.is_file() else []:
        if not isinstance(item, dict) or ".." in str(item.get("path", "")).split("/"):
            raise ModelError(f"{listing} lists something that is not a module")
        kind = str(item.get("type", "")).rpartition(".")[2]
        folder = path / str(item.get("path", ""))
        result.append(Module(kind, folder, _optional(folder / "config.json")))
    return tuple(result)


def _pooling(path: Path, modules: tuple[Module, ...]) -> str | None:
    """The pooling in the configuration of the pooling module; None without such a module."""
    for module in modules:
        if module.kind == "Pooling":
            config = _json(module.path / "config.json")
            name = config.get("pooling_mode") or next(
                (key[len("pooling_mode_") :] for key, on in config.items() if on is True), ""
            )
            if name not in _POOLING:
                raise ModelError(f"{path} uses {name!r} pooling, which llama.cpp does not support")
            return _POOLING[name]
    return None


def _optional(path: Path) -> dict[str, Any]:
    return _json(path) if path.is_file() else {}


def _json(path: Path, kind: type[Any] = dict) -> Any:
    """Parse a JSON file. Raises ModelError when its value is not of the type kind."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"can't read {path}: {files.reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, kind):
        raise ModelError(f"{path} does not have the contents of a model folder")
    return value
