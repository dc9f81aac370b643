"""The shared state of an index in an engine: one entry, changed atomically.

It lists the unfinished transactions, and the versions of documents that were replaced; searches
exclude the entries of both. So a single change of the state makes a transaction visible.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from qrank.analysis import text
from qrank.errors import IndexFileError, InputError, NoIndexError
from qrank.store.interface import CollectionSettings, Root, StoredModel
from qrank.store.opensearch.client import Engine
from qrank.store.opensearch.mapping import FIELDS, Dialect

FORMAT = 1
ANALYSER = text.VERSION
FRESH_SECONDS = 1.0  # for which a reader uses its cached state
TRIES = 50  # to change it, while others change it, too
ENTRY = "_doc/state"


@dataclass(slots=True)
class State:
    """The content of the entry. pending: unfinished transactions and their owners; gone: replaced
    or removed versions of documents, and when they were (Unix time)."""

    opensearch: bool = True
    has_vocabulary: bool = True
    analyser: int = ANALYSER  # the newest that made terms
    models: list[StoredModel] = field(default_factory=list)
    next_model: int = 1
    languages: list[str] = field(default_factory=list)
    pending: dict[str, str] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    roots: dict[str, list[Root]] = field(default_factory=dict)  # by collection
    collections: dict[str, CollectionSettings] = field(default_factory=dict)

    @property
    def dialect(self) -> Dialect:
        """The dialect of the engine."""
        return Dialect(self.opensearch)


def _parsed(source: Any, place: object) -> State:
    try:
        format = int(source["format"])
        analyser = int(source.get("analyser", 0))
        if format > FORMAT or analyser > ANALYSER:
            raise IndexFileError(
                f"{place} was made by a newer version of qrank", hint="install that one"
            )
        return State(
            opensearch=bool(source["opensearch"]),
            analyser=analyser,
            has_vocabulary=bool(source.get("has_vocabulary")),  # an older version made none
            models=[StoredModel(**model) for model in source["models"]],
            next_model=int(source["next_model"]),
            languages=[str(name) for name in source["languages"]],
            pending={str(batch): str(owner) for batch, owner in source["pending"].items()},
            gone={str(version): float(at) for version, at in source["gone"].items()},
            roots={
                str(name): [Root(str(root["path"]), str(root["options"])) for root in roots]
                for name, roots in source.get("roots", {}).items()
            },
            collections={
                str(name): CollectionSettings(
                    str(entry["description"]),
                    tuple(str(rule) for rule in entry["ignore"]),
                    str(entry["instruction"]),
                )
                for name, entry in _collections(source).items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexFileError(f"{place} is not an index of qrank", hint="name another") from error


def _collections(source: Any) -> dict[Any, Any]:
    """The settings of collections by name; older versions only stored descriptions."""
    descriptions = source.get("descriptions", {}).items()
    older = {n: {"description": text, "ignore": [], "instruction": ""} for n, text in descriptions}
    return {**older, **source.get("collections", {})}


_changed: dict[str, float] = {}  # when this process last changed the state, by the index's URL


class Shared:
    """Access to the state of one index, with a short-lived cache; what this process changes is seen
    at once, also in its other connections."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._meta = engine, f"/{engine.place.name}-meta"
        self._state: State | None = None
        self._read_at = 0.0

    def read(self) -> State:
        """The state, at most FRESH_SECONDS old. Raises NoIndexError when there is none."""
        is_old = max(time.monotonic() - FRESH_SECONDS, self.changed_at) > self._read_at
        if self._state is None or is_old:
            self._get()
        assert self._state is not None
        return self._state

    @property
    def changed_at(self) -> float:
        """When this process last changed the index, in monotonic seconds."""
        return _changed.get(str(self._engine.place), 0.0)

    def _get(self) -> tuple[State, dict[str, int]]:
        asked_at = time.monotonic()
        answer = self._engine.ask("GET", f"{self._meta}/{ENTRY}", accept=(404,))
        if not answer.get("found"):
            place = self._engine.place
            raise NoIndexError(f"there is no index at {place}", hint="make one with qrank init")
        self._state, self._read_at = _parsed(answer["_source"], self._engine.place), asked_at
        seen = {"if_seq_no": answer["_seq_no"], "if_primary_term": answer["_primary_term"]}
        return self._state, seen

    def change(self, apply: Callable[[State], None]) -> State:
        """Change the state by apply, with optimistic locking: apply may be called several times, on
        newer states, also after its change was made already. Raises IndexFileError."""
        for attempt in range(TRIES):
            state, seen = self._get()
            apply(state)
            answer = self._engine.ask(
                "PUT", f"{self._meta}/{ENTRY}", _entry(state), accept=(409,), options=seen
            )
            if answer.get("status") != 409:
                self._state, self._read_at = state, time.monotonic()
                _changed[str(self._engine.place)] = self._read_at
                return state
            time.sleep(min(1.0, 0.01 * 2**attempt))
        raise IndexFileError(f"{self._engine.place} is changed by too many others at once")


def _entry(state: State) -> dict[str, Any]:
    return {
        **asdict(state),
        "format": FORMAT,
        "models": [model._asdict() for model in state.models],
        "roots": {name: [root._asdict() for root in roots] for name, roots in state.roots.items()},
        "collections": {name: settings._asdict() for name, settings in state.collections.items()},
    }


def create(engine: Engine, shards: int | None, replicas: int | None) -> bool:
    """Create the index unless it exists, also after a run that was interrupted while it did;
    returns whether it was created. Raises InputError for other numbers than those of the index."""
    name = engine.place.name
    answer = engine.ask("GET", f"/{name}-meta/{ENTRY}", accept=(404,))
    if answer.get("found"):
        _require(engine, shards, replicas, "copy it into another: qrank export | qrank import -")
        return False
    version = engine.ask("GET", "/").get("version", {})
    dialect = Dialect(version.get("distribution") == "opensearch")
    settings = dialect.settings(shards, replicas)
    meta = {
        "settings": {
            "number_of_shards": 1,
            "number_of_replicas": settings["index"]["number_of_replicas"],
        },
        "mappings": {"dynamic": False, "properties": {"word": {"type": "keyword"}}},
    }
    body = {"settings": settings, "mappings": {"dynamic": "strict", "properties": FIELDS}}
    if not _put(engine, f"/{name}", body):
        _require_empty(engine)
        _require(engine, shards, replicas, f"delete {name}, which is empty, first")
    _put(engine, f"/{name}-meta", meta)
    first = _entry(State(opensearch=dialect.opensearch))
    answer = engine.ask("PUT", f"/{name}-meta/_create/state", first, accept=(409,))
    return bool(answer.get("status") != 409)


def _put(engine: Engine, path: str, definition: object) -> bool:
    """Create an index of the engine; returns whether it did not exist."""
    error = engine.ask("PUT", path, definition, accept=(400,)).get("error")
    if error and error.get("type") != "resource_already_exists_exception":
        raise engine.refused(400, error)
    return not error


def _require_empty(engine: Engine) -> None:
    """Raise IndexFileError unless the index was made by qrank, and is empty."""
    mapping = next(iter(engine.ask("GET", f"/{engine.place.name}/_mapping").values()))
    is_own = FIELDS.keys() <= mapping["mappings"].get("properties", {}).keys()
    if not is_own or engine.ask("GET", f"/{engine.place.name}/_count")["count"]:
        what = "holds something" if is_own else "exists"
        raise IndexFileError(
            f"{engine.place} is not an index of qrank, but {what}", hint="name another"
        )


def _require(engine: Engine, shards: int | None, replicas: int | None, how: str) -> None:
    """Raise InputError unless the index has these numbers; how: to get other shards."""
    if shards is None and replicas is None:
        return
    answer = next(iter(engine.ask("GET", f"/{engine.place.name}/_settings").values()))
    change = "change number_of_replicas in its settings and in those of NAME-meta"
    for what, wanted, hint in (("shard", shards, how), ("replica", replicas, change)):
        has = int(answer["settings"]["index"][f"number_of_{what}s"])
        if wanted not in (None, has):
            raise InputError(
                f"{engine.place} has {has} {what}{'s' * (has != 1)}, not {wanted}",
                hint=hint.replace("NAME", engine.place.name),
            )
