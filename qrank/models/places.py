"""Finding model files on this machine: in qrank's own folder, and in the caches of other tools.

Layouts: Hugging Face's cache (`models--OWNER--REPO/snapshots/REVISION/FILE`), llama.cpp's
(`OWNER_REPO_FILE`; newer versions use Hugging Face's), LM Studio's (`OWNER/REPO/FILE`), Ollama's
(`blobs/sha256-…`, listed in `manifests/hf.co/OWNER/REPO/TAG`). Nothing is written, and only
Ollama's manifests are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qrank.files import user_folder

OWN = "qrank"
HUB_CACHE = "Hugging Face cache"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A model file, and the tool in whose folder it is."""

    path: Path
    owner: str


def models_folder() -> Path:
    """qrank's folder of model files in the user's data folder."""
    return user_folder("data") / "models"


def hub_cache() -> Path:
    """The folder of Hugging Face's cache, by the same variables as its own tools."""
    folder = os.environ.get("HF_HUB_CACHE")
    if folder:
        return Path(folder).expanduser()
    home = os.environ.get("HF_HOME") or str(_cache_home() / "huggingface")
    return Path(home).expanduser() / "hub"


def repository_folder(repository: str) -> Path:
    """A repository's folder in Hugging Face's cache."""
    return hub_cache() / f"models--{repository.replace('/', '--')}"


def split_source(source: str) -> tuple[str, str]:
    """Split a source hf:OWNER/REPOSITORY/FILE; FILE may contain folders.

    >>> split_source("hf:Qwen/Qwen3-Embedding-0.6B-GGUF/Qwen3-Embedding-0.6B-Q8_0.gguf")
    ('Qwen/Qwen3-Embedding-0.6B-GGUF', 'Qwen3-Embedding-0.6B-Q8_0.gguf')
    """
    owner, _, rest = source.removeprefix("hf:").partition("/")
    name, _, file = rest.partition("/")
    return f"{owner}/{name}", file


def find(source: str, size: int | None = None, sha256: str | None = None) -> LocalFile | None:
    """Find the file of a source hf:OWNER/REPOSITORY/FILE; None when it is not on this machine.

    size, sha256: of the file, if they are known. In the folders of other tools, the size must
    match; a file in qrank's own folder is taken as it is.
    """
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
    if sha256:  # blobs are named by their hash
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
    """The paths in a folder, sorted; [] when it can't be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
