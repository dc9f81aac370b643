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
_SETTINGS: dict[str, Callable[[str], object]] = {
    "embed_model": str,
    "rerank_model": str,
    "candidates": int,
    "budget": float,
    "fusion_weight": float,
    "rerank_weight": float,
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
            hint=f"one of {', '.join(STAGES)}, or MODE+rerank; settings as in "
            "hybrid+rerank:candidates=50",
        )
    settings: dict[str, object] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in _SETTINGS:
            raise InputError(
                f"unknown setting {key!r} in {name!r}", hint=f"one of {', '.join(_SETTINGS)}"
            )
        try:
            settings[key] = _SETTINGS[key](value)
        except ValueError:
            raise InputError(f"{key} in {name!r} takes a number, not {value!r}") from None
    return Config(name, Mode(mode), bool(plus), settings)
