"""The places of model files on this machine: qrank's own folder, and the stores of other tools.

Layouts: Hugging Face's cache (`models--OWNER--REPO/snapshots/REVISION/FILE`), llama.cpp's
(`OWNER_REPO_FILE`; newer versions use Hugging Face's), LM Studio's (`OWNER/REPO/FILE`), Ollama's
(`blobs/sha256-…`, named in `manifests/hf.co/OWNER/REPO/TAG`). Only looks: nothing is read but
Ollama's small manifests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OWN = "qrank"
HUB_CACHE = "Hugging Face cache"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A model file, and whose store it is in."""

    path: Path
    owner: str


def models_folder() -> Path:
    """The user's folder of model files."""
    from platformdirs import user_data_path

    return user_data_path("qrank", appauthor=False) / "models"


def hub_cache() -> Path:
    """Hugging Face's cache, where its own variables say it is."""
    named = os.environ.get("HF_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or str(_cache_home() / "huggingface")
    return Path(home).expanduser() / "hub"


def repository_folder(repository: str) -> Path:
    """A repository's folder in Hugging Face's cache."""
    return hub_cache() / f"models--{repository.replace('/', '--')}"


def split_source(source: str) -> tuple[str, str]:
    """(OWNER/REPOSITORY, FILE) of a source; the file may lie in a folder of the repository.

    >>> split_source("hf:Qwen/Qwen3-Embedding-0.6B-GGUF/Qwen3-Embedding-0.6B-Q8_0.gguf")
    ('Qwen/Qwen3-Embedding-0.6B-GGUF', 'Qwen3-Embedding-0.6B-Q8_0.gguf')
    """
    owner, _, rest = source.removeprefix("hf:").partition("/")
    name, _, file = rest.partition("/")
    return f"{owner}/{name}", file


def find(source: str, size: int | None = None, sha256: str | None = None) -> LocalFile | None:
    """The file that source names, wherever it lies. In other tools' stores one of another size is
    not it; what the user put into qrank's own folder is taken as it is."""
    for file in _candidates(source, sha256):
        try:
            file_size = file.path.stat().st_size
        except OSError:
            continue
        if file.path.is_file() and (file.owner == OWN or file_size == (size or file_size)):
            return file
    return None


def _candidates(source: str, sha256: str | None) -> Iterator[LocalFile]:
    repository, file = split_source(source)
    flat = file.rpartition("/")[2]
    yield LocalFile(models_folder() / flat, OWN)
    for snapshot in _listed(repository_folder(repository) / "snapshots"):
        yield LocalFile(snapshot / file, HUB_CACHE)
    llama = Path(os.environ.get("LLAMA_CACHE") or _cache_home() / "llama.cpp").expanduser()
    yield LocalFile(llama / f"{repository.replace('/', '_')}_{flat}", "llama.cpp")
    yield LocalFile(llama / flat, "llama.cpp")
    for studio in (Path("~/.lmstudio/models"), Path("~/.cache/lm-studio/models")):
        yield LocalFile(studio.expanduser() / repository / file, "LM Studio")
    yield from _in_ollama(repository, flat, sha256)


def _in_ollama(repository: str, file: str, sha256: str | None) -> Iterator[LocalFile]:
    store = Path(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models").expanduser()
    if sha256:  # a blob is named by what it holds
        yield LocalFile(store / "blobs" / f"sha256-{sha256}", "Ollama")
        return
    for tag in _listed(store / "manifests" / "hf.co" / repository):
        if tag.name.lower() not in file.lower():
            continue
        try:
            layers = json.loads(tag.read_text("utf-8"))["layers"]
            models = [x["digest"] for x in layers if x["mediaType"].endswith("image.model")]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for digest in models:
            yield LocalFile(store / "blobs" / digest.replace(":", "-"), "Ollama")


def _listed(folder: Path) -> list[Path]:
    """A folder's content, in order; nothing when it is not there."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
