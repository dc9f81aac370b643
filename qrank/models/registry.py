"""The registry of models (registry.toml and the user's own), and resolving a model's name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from qrank.errors import InputError, ModelError, suggestion
from qrank.models import places
from qrank.models.places import LocalFile, models_folder
from qrank.settings import AUTO, NO_SETTINGS, Settings
from qrank.urls import is_url, parse_all

_HERE = Path(__file__).parent
PACKAGED = "registry.toml"
MADE = "made:"  # what the source of a file that is made here begins with


class Role(StrEnum):
    """What a model is used for."""

    embedder = "embedder"
    reranker = "reranker"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a model; bytes, sha256 and revision are None where they are not known. made_of: the
    published file that it is converted from on this machine, for one that is not published."""

    source: str
    quantization: str = ""
    revision: str | None = None
    bytes: int | None = None
    about_bytes: int | None = None
    sha256: str | None = None
    made_of: File | None = None

    @property
    def download_bytes(self) -> int | None:
        """About what is to be fetched to get it; None where that is not known."""
        if self.made_of:
            return self.made_of.download_bytes
        return self.bytes or self.about_bytes

    @property
    def made(self) -> Path:
        """Where the file lies that is made here."""
        return models_folder() / self.source.removeprefix(MADE)

    def find(self) -> LocalFile | None:
        """The file on this machine, in qrank's folder or another tool's; None when it is not
        there."""
        if self.made_of:
            return LocalFile(self.made, places.OWN) if self.made.is_file() else None
        if self.source.startswith("hf:"):
            return places.find(self.source, self.bytes, self.sha256)
        path = Path(self.source).expanduser()
        return LocalFile(path, places.OWN) if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Package:
    """A Python package that contains a model's folder; sha256: of the file of weights in it."""

    name: str
    version: str
    folder: str
    sha256: str
    weights: str = "model.safetensors"
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the registry. The fields are described at the top of registry.toml; the default
    weights, 0.5 and 1.0, are for models that were not measured."""

    role: Role
    alias: str
    files: tuple[File, ...] = ()
    bundled: str = ""
    package: Package | None = None
    repository: str = ""
    revision: str | None = None
    server: str = ""
    api: str = ""
    key: str = ""
    prompts: str = ""
    preference: int = -1
    fusion_weight: float = 0.5
    unrelated: float | None = None
    calibration: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rerank_weight: float = 1.0
    not_behind: tuple[str, ...] = ()
    dims: int | None = None
    context: int | None = None
    pooling: str = ""
    query: str | None = None
    document: str | None = None
    license: str = ""
    published: Mapping[str, float] = field(default_factory=dict)
    unsupported: str = ""
    brings: str = ""

    @property
    def source(self) -> str:
        """Where it comes from: the default file's source, a server's URL, `package:NAME`,
        `hf:REPOSITORY`, or `bundled`; "" when none is known."""
        if self.files:
            return self.files[0].source
        package = f"package:{self.package.name}" if self.package else ""
        published = f"hf:{self.repository}" if self.repository else ""
        return self.server or package or published or ("bundled" if self.bundled else "")

    @property
    def download_bytes(self) -> int | None:
        """The size of its download, maybe approximate; None when it is not known."""
        if self.files:
            return self.files[0].download_bytes
        return self.package.bytes if self.package else None

    def find(self) -> LocalFile | None:
        """Its file on this machine: of several, the first in its list, but one that another one was
        converted from comes last; None when there is none."""
        if self.bundled or self.package or self.repository:
            path = _HERE / self.bundled if self.bundled else self.made
            return LocalFile(path, places.OWN) if path.is_file() else None
        sources = [file.made_of for file in self.files if file.made_of]
        files = sorted(self.files, key=lambda file: file in sources)  # only kept to make others
        return next((place for file in files if (place := file.find())), None)

    @property
    def made(self) -> Path:
        """The path of the file that is converted from a package or a repository."""
        return models_folder() / f"{self.alias}.gguf"

    @property
    def installed(self) -> bool:
        """Whether it can be used without downloading anything."""
        return bool(self.server) or self.find() is not None


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A resolved model: its name, its registry entry, and its file, which is None when a server
    runs it (entry.server). api_key: for servers without a key of their own."""

    name: str
    path: Path | None
    entry: Entry
    api_key: str | None = None


@cache
def _packaged() -> Mapping[str, list[dict[str, Any]]]:
    return tomllib.loads((_HERE / PACKAGED).read_text("utf-8"))


class Registry:
    """The models with a name: those of registry.toml, and those in the settings."""

    def __init__(self, settings: Settings = NO_SETTINGS) -> None:
        self._settings = settings

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All models, by role; the user's own after those of registry.toml.

        Raises InputError when a config file has an invalid entry.
        """
        aliases = {
            (role, line["alias"]): _entry(role, line, PACKAGED)
            for role in Role
            for line in _packaged()[role]
        }
        for role in Role:
            for line, origin in self._settings.models.get(role.value, ()):
                aliases[role, str(line.get("alias"))] = _entry(role, line, str(origin))
        return tuple(sorted(aliases.values(), key=lambda e: list(Role).index(e.role)))

    def of_role(self, role: Role) -> list[Entry]:
        """The entries of a role."""
        return [entry for entry in self.entries if entry.role is role]

    def resolve(self, role: Role, name: str) -> ModelChoice:
        """Resolve a name: `auto`, an alias, `alias:QUANTIZATION`, a path, a server's URL, or
        `hf:OWNER/REPO/FILE.gguf`.

        Raises ModelError when it is unknown, not installed, or can't be run.
        """
        if name == AUTO:
            best = self.best_installed(role)
            if best is None:
                raise ModelError(f"no {role} is installed", hint="reinstall qrank")
            return self._choice(best.alias, best)
        entry = self.lookup(role, name)
        if entry is not None:
            return self._choice(name, entry)
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise ModelError(f"there is no model file {path}")
        return ModelChoice(str(path), path, self._same_file(role, path) or Entry(role, str(path)))

    def lookup(self, role: Role, name: str) -> Entry | None:
        """The entry of a name, installed or not; a new one for a source or a server that is not in
        the registry; None for a path.

        Raises ModelError for an unknown name.
        """
        entries = self.of_role(role)
        alias, _, quantization = name.partition(":")
        for entry in entries:
            if name == entry.alias:
                return entry
            for file in entry.files:
                if name == file.source or (
                    alias == entry.alias and quantization.lower() == file.quantization.lower()
                ):
                    return replace(entry, files=(file,))
        if is_url(name):
            return self._server(role, name)
        if name.startswith("hf:"):
            if places.split_source(name)[1].endswith(".gguf") and ".." not in name.split("/"):
                return Entry(role, name, files=(File(name),))
            raise ModelError(f"{name} names no file", hint="write hf:OWNER/REPOSITORY/FILE.gguf")
        if name.endswith(".gguf") or "/" in name:
            return None
        files = [f"{alias}:{f.quantization}" for e in entries if e.alias == alias for f in e.files]
        choices = files or [entry.alias for entry in entries]
        every = f"name a .gguf file, auto, or one of: {', '.join(choices)}"
        hint = every if files else suggestion(name, choices, every)
        raise ModelError(f"unknown {role} {name!r}", hint=hint)

    def _server(self, role: Role, url: str) -> Entry:
        """An entry for a server's URL. If the name of the served model (URL#MODEL) begins with an
        alias of the registry, weights and prompts are those of that entry."""
        served = (parse_all(url)[-1].model or "").rpartition("/")[2].lower()
        matches = [
            e for e in self.of_role(role) if not e.server and served.startswith(e.alias.lower())
        ]
        best = max(matches, key=lambda e: len(e.alias), default=Entry(role, url))
        return replace(
            best,
            alias=url,
            files=(),
            bundled="",
            package=None,
            repository="",
            server=url,
            preference=-1,
            calibration={},
        )

    def _same_file(self, role: Role, path: Path) -> Entry | None:
        """The entry of a file, which may be given by another path."""
        for entry in self.of_role(role):
            place = entry.find()
            if place and place.path.samefile(path):
                return entry
        return None

    def _choice(self, name: str, entry: Entry) -> ModelChoice:
        if entry.unsupported:
            raise ModelError(f"{entry.alias} can't be run: {entry.unsupported}")
        if entry.server:
            return ModelChoice(name, None, entry, self._settings.api_key)
        place = entry.find()
        if place is None:
            raise ModelError(
                f"the {entry.role} {name} is not installed", hint=how_to_install(entry, name)
            )
        made = next((f for f in entry.files if f.made_of and f.made == place.path), None)
        if made and name == entry.alias:  # of no hash that is known elsewhere: its name tells it
            name = f"{name}:{made.quantization}"
        return ModelChoice(name, place.path, entry)

    def best_installed(self, role: Role) -> Entry | None:
        """The installed model with the highest preference, which `auto` means."""
        candidates = [e for e in self.of_role(role) if e.preference >= 0 and e.installed]
        return max(candidates, key=lambda e: e.preference, default=None)

    def better_than(self, entry: Entry) -> Entry | None:
        """A model that `auto` prefers to entry: the best installed one; else, if entry is bundled,
        the next recommended one."""
        better = [e for e in self.of_role(entry.role) if e.preference > entry.preference >= 0]
        installed = [e for e in better if e.installed]
        if installed:
            return max(installed, key=lambda e: e.preference)
        offered = [e for e in better if e.brings and not e.unsupported]
        return min(offered, key=lambda e: e.preference, default=None) if entry.bundled else None


def how_to_install(entry: Entry, name: str = "") -> str:
    """How to install a model, as a hint in an error message."""
    if entry.files and not entry.files[0].source.startswith(("hf:", MADE)):
        return f"there is no file {entry.files[0].source}"
    return f"get it with: qrank models pull {name or entry.alias}"


_PACKAGED_ONLY = {"bundled", "calibration"}
_FIELDS = {f.name for f in fields(Entry)} - {"role"} - _PACKAGED_ONLY


def _files(alias: str, tables: Sequence[Mapping[str, Any]]) -> tuple[File, ...]:
    """A model's files; of one that is made here, `made_of` names the other's quantization. Raises
    TypeError when there is no such other one."""
    result = []
    for table in tables:
        if "made_of" not in table:
            result.append(File(**table))
            continue
        kind, of = table.get("quantization"), table["made_of"]
        others = (File(**other) for other in tables if "made_of" not in other)
        whole = next((other for other in others if other.quantization == of), None)
        if whole is None:
            raise TypeError(f"{kind} is made of {of}, which is not among its files")
        place = f"{MADE}{alias.replace('/', '-')}-{kind}.gguf"
        result.append(File(place, **{**table, "made_of": whole}))
    return tuple(result)


def _entry(role: Role, line: Mapping[str, Any], origin: str) -> Entry:
    """Parse an entry. `source` is short for one file, or a server. Raises InputError."""
    table = dict(line)
    alias = table.get("alias")
    source = table.pop("source", None)
    if source is not None:
        where = "server" if is_url(str(source)) else "files"
        table.setdefault(where, source if where == "server" else [{"source": source}])
    try:
        unknown = table.keys() - _FIELDS - (_PACKAGED_ONLY if origin == PACKAGED else set())
        if not isinstance(alias, str) or not alias or unknown:
            fields = ", ".join(sorted(_FIELDS | {"source"}))
            raise InputError(
                f"{origin}: a model has {'no such fields: ' + ', '.join(sorted(unknown))}"
                if unknown
                else f"{origin}: a model has no alias",
                hint=f"its fields are {fields}",
            )
        table["files"] = _files(alias, table.get("files", ()))
        table["not_behind"] = tuple(table.get("not_behind", ()))
        if "package" in table:
            table["package"] = Package(**table["package"])
        entry = Entry(role=role, **table)
        if entry.server:
            parse_all(entry.server)
        return entry
    except (TypeError, AttributeError) as error:
        raise InputError(f"{origin}: the model {alias!r} can't be read ({error})") from error
