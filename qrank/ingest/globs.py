"""The globs of `-g`, as in ripgrep."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from qrank.errors import InputError
from qrank.ingest.ignore import Rule, RuleFile, encoded, parse

MAX_ALTERNATIVES = 1000  # that the braces of a glob expand to
_PART = re.compile(r"\\.|\[[!^]?\]?(?:\\.|\[:\w*:\]|[^\]\\])*\]|.", re.DOTALL)


class Globs:
    """Globs that include files, or with ! exclude them; the last one that matches decides. They are
    relative to the folder that is walked."""

    def __init__(self, globs: Sequence[str]) -> None:
        """Raises InputError for an invalid glob."""
        rules = [rule for number, glob in enumerate(globs, 1) for rule in _rules(glob, number)]
        self._rules = RuleFile("", "", rules, of_git=False)
        self._only = any(not glob.startswith("!") for glob in globs)

    def verdict(self, name: str, is_folder: bool) -> bool | None:
        """True: included, whatever ignore files say; False: excluded; None: ignore files decide."""
        if not self._rules:
            return None
        rule = self._rules.last_match(b"/" + encoded(name), is_folder)
        if is_folder:
            return False if rule and rule.includes else None
        return not rule.includes if rule else False if self._only else None

    def include(self, name: str) -> bool:
        """Whether neither a file, by its path, nor a folder that it is in is excluded."""
        at = name.find("/")
        while at >= 0:
            if self.verdict(name[:at], is_folder=True) is False:
                return False
            at = name.find("/", at + 1)
        return self.verdict(name, is_folder=False) is not False


def _rules(glob: str, number: int) -> list[Rule]:
    """A rule for each alternative that a glob expands to."""
    negated, body = glob.startswith("!"), glob.removeprefix("!")
    if not body.strip("/ "):
        raise _invalid(glob, "it is empty")
    whole = "/" in body.rstrip("/")  # matches paths, not names; then each alternative does, too
    rules = []
    for plain in alternatives(glob, body):
        line = "/" * (whole and not plain.startswith("/")) + plain
        line = "\\" * line.startswith(("#", "!")) + line
        rule = parse(os.fsencode("!" * negated + line), number)
        if rule is None and plain.strip("/ "):
            raise _invalid(glob, "a [ has no ], or a \\ has nothing behind it")
        if rule:
            rules.append(rule)
    return rules


def alternatives(glob: str, body: str) -> list[str]:
    """The globs without braces that a glob's body expands to. Raises InputError."""
    result = [""]
    # For each open brace: (what is before it, the alternatives in it so far).
    outer: list[tuple[list[str], list[str]]] = []
    for part in _PART.findall(body):
        if part == "{":
            outer.append((result, []))
            result = [""]
        elif part == "," and outer:
            outer[-1][1].extend(result)
            result = [""]
        elif part == "}":
            if not outer:
                raise _invalid(glob, "a } has no {")
            before, inner = outer.pop()
            inner += result
            if len(before) * len(inner) > MAX_ALTERNATIVES:
                raise _invalid(glob, f"its braces stand for more than {MAX_ALTERNATIVES} globs")
            result = [start + end for start in before for end in inner]
        else:
            result = [start + part for start in result]
    if outer:
        raise _invalid(glob, "a { has no }")
    return result


def _invalid(glob: str, why: str) -> InputError:
    return InputError(f"{glob!r} is not a valid glob: {why}", hint="-g '*.md' or -g '!drafts' are")
