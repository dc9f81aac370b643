"""A configuration to measure: how candidates are found, whether they are reranked, and with what.

Written as on the command line: `hybrid+rerank`, or with settings, `hybrid:fusion_weight=0.2`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from qrank.errors import InputError
from qrank.results import Mode

STAGES = ("bm25", "vector", "hybrid", "hybrid+rerank")


def _count(value: str) -> int:
    if not 1 <= (number := int(value)) <= 1_000_000:
        raise ValueError
    return number


def _seconds(value: str) -> float:
    if not 0 <= (number := float(value)) <= 100_000:
        raise ValueError
    return number


def _share(value: str) -> float:
    if not 0 <= (number := float(value)) <= 1:
        raise ValueError
    return number


@dataclass(frozen=True, slots=True)
class _Setting:
    """How a setting is read, what it must be, and the part of a configuration it is for."""

    read: Callable[[str], object]
    wants: str
    part: str


_SETTINGS = {
    "embed_model": _Setting(str, "a model", "vectors"),
    "fusion_weight": _Setting(_share, "a number from 0 to 1", "hybrid"),
    "rerank_model": _Setting(str, "a model", "+rerank"),
    "rerank_weight": _Setting(_share, "a number from 0 to 1", "+rerank"),
    "candidates": _Setting(_count, "a whole number from 1 to 1000000", "+rerank"),
    "budget": _Setting(_seconds, "a number of seconds from 0 to 100000", "+rerank"),
}


@dataclass(frozen=True, slots=True)
class Config:
    """name: as it was written. settings: those of _SETTINGS that were given."""

    name: str
    mode: Mode
    rerank: bool
    settings: dict[str, object] = field(default_factory=dict)


def parse(written: str) -> list[Config]:
    """The configurations of a list with commas. Raises InputError for what is none.

    >>> [(c.mode.value, c.rerank, c.settings) for c in parse("bm25,hybrid+rerank:candidates=50")]
    [('bm25', False, {}), ('hybrid', True, {'candidates': 50})]
    """
    return [_one(name.strip()) for name in written.split(",") if name.strip()]


def _one(name: str) -> Config:
    # A colon parts settings only where one begins, so that a model may be a URL.
    stage, *pairs = re.split(r":(?=[a-z_]+=)", name)
    mode, plus, rerank = stage.partition("+")
    if mode not in Mode.__members__ or (plus and rerank != "rerank"):
        raise InputError(
            f"unknown configuration {name!r}",
            hint=f"use one of {', '.join(STAGES)}, or MODE+rerank, with settings such as "
            "hybrid+rerank:candidates=50",
        )
    settings: dict[str, object] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in _SETTINGS:
            raise InputError(
                f"unknown setting {key!r} in {name!r}", hint=f"use {', '.join(_SETTINGS)}"
            )
        setting = _SETTINGS[key]
        if setting.part not in _parts(Mode(mode), rerank=bool(plus)):
            raise InputError(f"{key} has no effect in {name!r}: it needs {setting.part}")
        try:
            settings[key] = setting.read(value)
        except ValueError:
            raise InputError(f"{key} in {name!r} takes {setting.wants}, not {value!r}") from None
    return Config(name, Mode(mode), bool(plus), settings)


def _parts(mode: Mode, *, rerank: bool) -> set[str]:
    parts = {mode.value}
    if mode is not Mode.bm25:
        parts.add("vectors")
    if rerank:
        parts.add("+rerank")
    return parts
