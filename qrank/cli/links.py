"""Hyperlinks (OSC 8) from a shown place to its file, in the format that the user's editor takes."""

from __future__ import annotations

import re
from urllib.parse import quote

from qrank.errors import InputError

FORMATS = {  # by the names ripgrep gives them
    "none": "",
    "default": "file://{host}{path}",
    "file": "file://{host}{path}",
    "vscode": "vscode://file{path}:{line}:{column}",
    "cursor": "cursor://file{path}:{line}:{column}",
    "macvim": "mvim://open?url=file://{path}&line={line}&column={column}",
    "textmate": "txmt://open?url=file://{path}&line={line}&column={column}",
    "kitty": "file://{host}{path}#{line}",
}
_FIELD = re.compile(r"\{([^{}]*)\}")


def checked(name: str) -> str:
    """The format of that name, or the format itself. Raises InputError for one that can't be."""
    template = FORMATS.get(name, name)
    for field in _FIELD.findall(template):
        if field not in ("path", "line", "column", "host"):
            raise InputError(
                f"--hyperlink-format has no field {{{field}}}",
                hint="use {path}, {line}, {column}, {host}, or one of: " + ", ".join(FORMATS),
            )
    if template and "{path}" not in template:
        raise InputError(
            f"the hyperlink format {name!r} does not say {{path}}",
            hint=f"write a URL with {{path}}, or one of: {', '.join(FORMATS)}",
        )
    return template


def link(template: str, path: str, line: int) -> str:
    """The URL of a place; what is no letter of a URL is escaped.

    >>> link("vscode://file{path}:{line}", "/a b\\x1b.md", 3)
    'vscode://file/a%20b%1B.md:3'
    """
    import socket

    values = {"path": quote(path), "line": str(line), "column": "1", "host": socket.gethostname()}
    return _FIELD.sub(lambda match: values[match[1]], template)
