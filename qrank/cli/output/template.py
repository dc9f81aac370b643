"""--format: a line per result, with values of fields from a fixed list. Unlike in Python's format
strings, no attributes can be accessed."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from qrank.cli.output.render import significant
from qrank.errors import InputError
from qrank.markup import readable
from qrank.names import path_from
from qrank.results import Result

Value = str | int | float
Terms = Sequence[str]  # of the query, to find the best line


def _best_place(result: Result, terms: Terms) -> tuple[int, int]:
    from qrank.cli.output.snippet import best_place  # slow to import

    return best_place(result, terms)


FIELDS: dict[str, Callable[[Result, Terms], Value]] = {
    "rank": lambda r, _: r.rank,
    "score": lambda r, _: r.score,
    "score_kind": lambda r, _: r.score_kind,
    "id": lambda r, _: r.id,
    "path": lambda r, _: r.path,
    "member": lambda r, _: r.member or "",
    "line": lambda r, terms: _best_place(r, terms)[0],
    "column": lambda r, terms: _best_place(r, terms)[1],
    "start_line": lambda r, _: r.start_line,
    "end_line": lambda r, _: r.end_line,
    "start_byte": lambda r, _: r.start_byte,
    "end_byte": lambda r, _: r.end_byte,
    "page": lambda r, _: "" if r.page is None else r.page,
    "collection": lambda r, _: r.collection,
    "title": lambda r, _: r.title,
    "heading": lambda r, _: r.heading,
    "text": lambda r, _: r.text,
    "snippet": lambda r, _: " ".join(readable(r.text, r.location).split()),
    "stale": lambda r, _: "unknown" if r.stale is None else str(r.stale).lower(),
    "index": lambda r, _: r.index or "",
}
_FILE_FIELD = re.compile(r"fields\[([^\[\]]+)\]")  # a field of the document
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "e": "\x1b", "\\": "\\"}
_SPEC = re.compile(r"[<>^]?0?\d{0,3}(?:\.\d{1,2})?[dfs]?")


class Template:
    """A parsed format: call it with a result to get its line."""

    def __init__(
        self, text: str, folder: str | None = None, names: Collection[str] = tuple(FIELDS)
    ) -> None:
        """folder: paths below it are shown relative to it. names: of the allowed fields.

        Raises InputError for an unknown field or an invalid format.
        """
        self._folder = folder
        self._parts: list[tuple[str, str | None, str]] = []
        try:
            parsed = list(string.Formatter().parse(_unescaped(text)))
        except ValueError as error:
            raise InputError(f"--format {text!r}: {error}", hint="write {{ for a brace") from error
        for literal, field, spec, conversion in parsed:
            if field is not None and (
                conversion or not (field in names or _FILE_FIELD.fullmatch(field))
            ):
                name = field + (f"!{conversion}" if conversion else "")
                raise InputError(
                    f"--format has no field {{{name}}}",
                    hint=f"use one of: {', '.join(names)}, fields[NAME]",
                )
            if spec and not _SPEC.fullmatch(spec):
                raise InputError(
                    f"--format can't format {{{field}:{spec}}}", hint="use one such as {score:.2f}"
                )
            self._parts.append((literal, field, spec or ""))

    def __call__(self, result: Result, terms: Terms = ()) -> str:
        """The line of a result. terms: of the query.

        Raises InputError when a value does not fit its format.
        """
        shown = replace(result, path=path_from(result.path, self._folder))
        return self.fill(lambda name: FIELDS[name](shown, terms), result.fields)

    def fill(self, value: Callable[[str], Value], own: Mapping[str, object]) -> str:
        """The line for values. value: returns the value of a field by name; own: the fields of the
        document or record. Raises InputError when a value does not fit its format."""

        def shown(field: str, spec: str) -> str:
            name = _FILE_FIELD.fullmatch(field)
            return _shown(field, spec, _plain(own.get(name[1], "")) if name else value(field))

        return "".join(
            literal + (shown(field, spec) if field else "") for literal, field, spec in self._parts
        )


def _plain(value: object) -> Value:
    """A value of a document's field; a list is joined by commas."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(_plain(item)) for item in value)
    return value if isinstance(value, int | float) else str(value)


def _shown(field: str, spec: str, value: Value) -> str:
    if isinstance(value, float) and not spec:
        return significant(value, 4)
    try:
        return format(value, spec)
    except ValueError as error:
        raise InputError(
            f"--format can't format {{{field}:{spec}}}: {str(error).lower()}"
        ) from error


def _unescaped(text: str) -> str:
    r"""Replace the escapes \t, \n, \r, \0, \e and \\. Raises InputError for others."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise InputError(
                f"--format has an unknown escape \\{match[1]}", hint=r"use \t, \n, \0 or \\"
            )
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.?)", replaced, text, flags=re.DOTALL)
