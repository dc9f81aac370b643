"""Front matter: the block between `---` (YAML) or `+++` (TOML) at the top of a Markdown file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from qrank.ingest.extract.building import clean

MAX_LENGTH = 16_384  # characters; a longer block is text
MAX_DEPTH = 50  # of nested lists and tables, as the parsers recurse
MAX_DOTS = 200  # in a line of TOML, as dotted keys take quadratic time
_EOL = r"(?:\r\n?|\n)"
_YAML = re.compile(rf"---[ \t]*{_EOL}(.*?){_EOL}(?:---|\.\.\.)[ \t]*(?:{_EOL}|\Z)", re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_TOML = re.compile(rf"\+\+\+[ \t]*{_EOL}(.*?){_EOL}\+\+\+[ \t]*(?:{_EOL}|\Z)", re.DOTALL)


def read(text: str) -> tuple[Mapping[str, object], int]:
    """Return (fields, offset of the text after it); ({}, 0) when there is no front matter.

    Values are strings, numbers, booleans, or lists of them; dates are in ISO form, other values
    (tables, NaN) are skipped. Invalid front matter has no fields.

    >>> read("---\\ntitle: On tea\\ntags: [green, hot]\\ndate: 2024-05-01\\n---\\nText")[0]
    {'title': 'On tea', 'tags': ['green', 'hot'], 'date': '2024-05-01'}
    """
    if not text.startswith(("---", "+++")):
        return {}, 0
    match = (_YAML if text[0] == "-" else _TOML).match(text[:MAX_LENGTH])
    if not match:
        return {}, 0
    try:
        inner = re.sub(_EOL, "\n", match[1])
        table = _yaml(inner) if text[0] == "-" else _toml(inner)
    except Exception:  # parsers may raise anything for invalid input
        table = {}
    fields = {clean(str(key)): _plain(value) for key, value in table.items()}
    return {key: value for key, value in fields.items() if value is not None}, match.end()


def _too_deep(text: str) -> bool:
    """Whether brackets are nested deeper than MAX_DEPTH."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _toml(text: str) -> Mapping[Any, object]:
    import tomllib

    if _too_deep(text) or any(line.count(".") > MAX_DOTS for line in text.split("\n")):
        return {}
    return dict(tomllib.loads(text))


def _yaml(text: str) -> Mapping[Any, object]:
    import yaml

    if _too_deep(text):
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            return {}  # aliases may expand to gigabytes
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return {}
    loaded = yaml.load(text, loader)
    return loaded if isinstance(loaded, dict) else {}


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such number
    if isinstance(value, int) and value.bit_length() > 64:
        return None  # Python can't convert numbers of thousands of digits to strings
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [item for item in map(_plain, value) if item is not None]
    return None
