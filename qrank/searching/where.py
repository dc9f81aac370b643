"""Conditions on fields (`tags=travel`, `date>=2026-06`) -> the store's filter.

    =  !=  <  <=  >  >=   compare with a value;  ~  contains a text;  ?  the field exists
    a..b                  from a to b, both included;  a|b  either (\\| is a literal |)

A date without day or month stands for the whole month or year: `date=2026-06` is all of June,
`date<=2026` includes 31 December. `2w` (two weeks ago), `today` and `yesterday` are dates, too.
A field with a list of values matches if one of them does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from qrank.analysis.fields import DATE, NUMBER, OF_FILE, date_span, field_name, folded, number
from qrank.errors import InputError
from qrank.names import path_globs, path_names
from qrank.searching.file_types import formats, is_type, suffixes_of
from qrank.store.filters import Bound, Condition, FileTest, Filter, Test

if TYPE_CHECKING:
    from qrank.reports import FieldCount
    from qrank.store.interface import Store

_OPERATOR = re.compile(r"!=|>=|<=|=|<|>|~|\?\s*$")
_BAR = re.compile(r"(?<!\\)\|")
_SIZE = re.compile(r"([\d.]+)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
# Synonymous field names: a condition on one applies to all of them.
_SYNONYMS = (
    ("tag", "tags"),
    ("author", "authors", "from", "creator"),
    ("keyword", "keywords"),
    ("category", "categories"),
)
_TEXTS = ("title", "collection", "language")
_MOST_NAMED = 12  # fields that a message lists
# Fields whose values are labels: they match as a whole, never by a part.
_LABELS = {"tag", "tags", "keyword", "keywords", "category", "categories"}


class Fields:
    """The fields of an index, and conditions on them. The store is read on first use."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kinds: dict[str, list[str]] | None = None

    @property
    def kinds(self) -> dict[str, list[str]]:
        """The fields of documents, each with the kinds of its values ("text", "number", "date")."""
        if self._kinds is None:
            self._kinds = self._store.field_kinds()
        return self._kinds

    def __contains__(self, name: str) -> bool:
        key = field_name(name)
        return key in OF_FILE or bool(self._own(key))

    def condition(self, text: str) -> Condition:
        """Parse one --where condition. Raises InputError when it is not valid."""
        operator = _OPERATOR.search(text)
        if not operator or not text[: operator.start()].strip(" !"):
            raise InputError(
                f"--where {text!r} is not a valid condition",
                hint="write FIELD=VALUE, or another of != < <= > >= ~, or FIELD? (it exists)",
            )
        name, sign = field_name(text[: operator.start()]), operator[0].strip()
        value = text[operator.end() :].strip()
        own = self._own(name)
        if not own and name.endswith("!"):
            raise InputError(
                f"--where {text!r}: there is no operator !{sign}",
                hint="of the operators only = has an opposite, !=",
            )
        if not own and name not in OF_FILE:
            raise InputError(f"there is no field {name!r}", hint=self._there_are())
        if sign == "?":
            return Condition((Test(own),) if own else (FileTest(),))
        if not value:
            raise InputError(f"--where {text!r} has no value", hint="FIELD? asks whether it exists")
        values = [part.replace("\\|", "|").strip() for part in _BAR.split(value)]
        tests: list[Test | FileTest] = []
        for each in values:
            self._require_order(name, own, sign, each, text)
            of_file = _file_tests(name, sign, each, text, lenient=bool(own))
            fitting = self._tests(own, sign, each, text, lenient=bool(of_file)) if own else []
            tests += [*of_file, *fitting]
        return Condition(tuple(tests), negated=sign == "!=")

    def _require_order(
        self, name: str, own: tuple[str, ...], sign: str, value: str, text: str
    ) -> None:
        """Raise InputError for a range that ends before it begins."""
        low, between, high = value.partition("..")
        if sign not in ("=", "!=") or not (between and low.strip() and high.strip()):
            return
        kinds = {kind for each in own for kind in self.kinds[each]} & {NUMBER, DATE}
        kinds |= {"size": {"size"}, "mtime": {DATE}}.get(name, set())
        for kind in kinds:
            first, last = _span(kind, low), _span(kind, high)
            if first and last and first[0] > last[0]:
                raise InputError(
                    f"--where {text!r}: {low.strip()} comes after {high.strip()}",
                    hint="a range goes from the least to the most",
                )

    def examples(self, text: str) -> str:
        """Values that the field of a condition has, for a message; "" for an unknown field."""
        operator = _OPERATOR.search(text)
        name = field_name(text[: operator.start()]) if operator else ""
        own = self._own(name)
        if not own:
            there = {"type": sorted(formats()), "language": self._store.languages()}.get(name)
            return f"; {name} is one of {', '.join(there)}" if there else ""
        some = ", ".join(self._store.field_examples(own[0], 3))
        return f"; {own[0]} has: {some} (qrank fields {own[0]} lists more)"

    def from_query(self, name: str, value: str, *, negated: bool = False) -> Condition | None:
        """The condition for `name:value` in a query: the field equals the value or, unless it is a
        label, contains its words. None when the field can't have such a value."""
        key = field_name(name)
        own = self._own(key)
        tests: list[Test | FileTest] = []
        if own:
            tests += self._tests(own, "=", value, f"{name}:{value}", lenient=True)
            if key not in _LABELS:
                tests.append(Test(own, word=folded(value)))
        if key in OF_FILE:
            tests += _file_tests(key, "=", value, f"{name}:{value}", lenient=True)
        return Condition(tuple(tests), negated=negated) if tests else None

    def _own(self, name: str) -> tuple[str, ...]:
        """The fields of documents that a name stands for."""
        names = next((names for names in _SYNONYMS if name in names), (name,))
        return tuple(each for each in names if each in self.kinds)

    def _there_are(self) -> str:
        names = dict.fromkeys([*[*self.kinds][:_MOST_NAMED], *OF_FILE])
        more = ", …" if len(self.kinds) > _MOST_NAMED else ""
        return f"there are: {', '.join(names)}{more}; qrank fields lists them"

    def _tests(
        self, names: tuple[str, ...], sign: str, value: str, text: str, *, lenient: bool
    ) -> list[Test]:
        """The tests for fields of documents. Unless lenient, raises InputError for a value that
        none of their values can be compared with."""
        if sign == "~":
            return [Test(names, part=folded(value))]
        kinds = {kind for name in names for kind in self.kinds[name]}
        tests: list[Test] = []
        for kind in (NUMBER, DATE):
            bounds = _bounds(kind, sign, value) if kind in kinds else ()
            if bounds:
                tests.append(Test(names, kind=kind, bounds=bounds))
        text_too = lenient or not kinds <= {NUMBER, DATE}
        if sign in ("=", "!=") and (tests or text_too) and not (tests and ".." in value):
            tests.append(Test(names, text=folded(value)))
        if tests or lenient:
            return tests
        some = ", ".join(self._store.field_examples(names[0], 3))
        if kinds & {NUMBER, DATE}:
            what = "date" if DATE in kinds else "number"
            raise InputError(
                f"--where {text!r}: {value!r} is no {what}", hint=f"{names[0]} has: {some}"
            )
        raise InputError(
            f"--where {text!r}: {names[0]} has texts, which can't be compared by {sign}",
            hint=f"use = or ~; it has: {some}",
        )


def field_values(store: Store, name: str, filter: Filter, limit: int) -> FieldCount:
    """A field with its most frequent values in the documents that pass a filter. Raises InputError
    when no document has the field."""
    from qrank.reports import FieldCount

    key = field_name(name)
    kinds = Fields(store).kinds
    if key not in kinds:
        there = ", ".join(kinds) or "none: no document has fields"
        raise InputError(f"there is no field {name!r}", hint=f"there are: {there}")
    values, distinct = store.field_values(key, filter, limit)
    [records] = [field.records for field in store.fields(filter) if field.name == key] or [0]
    return FieldCount(key, kinds[key], records, distinct, values)


def conditions(store: Store, texts: Sequence[str]) -> tuple[Condition, ...]:
    """Parse --where conditions. Raises InputError when one is not valid."""
    fields = Fields(store)
    return tuple(fields.condition(each) for each in texts)


def _file_tests(
    name: str, sign: str, value: str, condition: str, *, lenient: bool
) -> list[Test | FileTest]:
    """The tests for a field that every file has (path, size, type…); lenient: return [] for a
    value that does not fit instead of raising InputError."""
    equal = sign in ("=", "!=")
    if name == "path" and equal:
        return [FileTest(names=path_names(value), paths=path_globs(value))]
    if name == "path" and sign == "~":
        return [FileTest(column="path", part=folded(value))]
    if name in ("type", "ext") and equal:
        if lenient and not is_type(value):
            return []
        return [FileTest(suffixes=suffixes_of([value], families=name == "type"))]
    if name in _TEXTS and sign in ("=", "!=", "~"):
        text = folded(value)
        return [FileTest(name, part=text) if sign == "~" else FileTest(name, text=text)]
    if name in ("size", "mtime") and sign != "~":
        bounds = _bounds(DATE if name == "mtime" else "size", sign, value)
        if bounds:
            return [FileTest(name, bounds=bounds)]
        if not lenient:
            what = "a time such as 2026-06-01 or 2w" if name == "mtime" else "a size such as 10k"
            raise InputError(f"--where {condition!r}: {value!r} is not {what}")
    if name in OF_FILE and not lenient:
        raise InputError(
            f"--where {condition!r}: {name} can't be compared by {sign}",
            hint="use = or ~" if name in ("path", *_TEXTS) else "use = or !=",
        )
    return []


def _bounds(kind: str, sign: str, value: str) -> tuple[Bound, ...]:
    """The bounds that a comparison sets for a number, date or size; () when value is none."""
    if sign in ("=", "!=") and ".." in value:
        low, _, high = value.partition("..")
        least, most = (_span(kind, part) if part.strip() else None for part in (low, high))
        if (low.strip() and not least) or (high.strip() and not most):
            return ()
        return (*_at_least(least), *_at_most(most))
    span = _span(kind, value)
    if not span:
        return ()
    start, end = span
    whole = start == end  # a number, or a moment
    if sign == "<":
        return (("<", start),)
    if sign == ">=":
        return ((">=", start),)
    if sign == "<=":
        return _at_most(span)
    if sign == ">":
        return ((">", start),) if whole else ((">=", end),)
    return (*_at_least(span), *_at_most(span))


def _at_least(span: tuple[float, float] | None) -> tuple[Bound, ...]:
    return ((">=", span[0]),) if span else ()


def _at_most(span: tuple[float, float] | None) -> tuple[Bound, ...]:
    if not span:
        return ()
    return (("<=", span[0]),) if span[0] == span[1] else (("<", span[1]),)


def _span(kind: str, value: str) -> tuple[float, float] | None:
    """The (start, end) of a value. end is exclusive, except where it equals start."""
    if kind == DATE:
        return date_span(value, datetime.now())
    value_number = number(value)
    if kind == "size" and (sized := _SIZE.fullmatch(value.strip())):
        bytes_each = number(sized[1])
        value_number = None if bytes_each is None else bytes_each * _UNITS[sized[2].lower()]
    return None if value_number is None else (value_number, value_number)
