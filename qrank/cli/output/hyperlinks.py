"""Hyperlinks (OSC 8) to the files of results, with URLs in the format of the user's editor."""

from __future__ import annotations

import re
from urllib.parse import quote

from qrank.errors import InputError
from qrank.names import WINDOWS, disk_bytes

FORMATS = {  # with ripgrep's names
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
    """The format with that name, or name as a format. Raises InputError for an invalid format."""
    template = FORMATS.get(name, name)
    for field in _FIELD.findall(template):
        if field not in ("path", "line", "column", "host"):
            raise InputError(
                f"--hyperlink-format has no field {{{field}}}",
                hint="use {path}, {line}, {column}, {host}, or one of: " + ", ".join(FORMATS),
            )
    if template and "{path}" not in template:
        raise InputError(
            f"the hyperlink format {name!r} has no {{path}}",
            hint=f"write a URL with {{path}}, or one of: {', '.join(FORMATS)}",
        )
    return template


def link(template: str, path: str, line: int, column: int = 1) -> str:
    """The URL of a line and column, from 1, in a file; path: as stored in the index.

    >>> link("vscode://file{path}:{line}", "/a b\\x1b.md", 3)
    'vscode://file/a%20b%1B.md:3'
    """
    import socket

    # On Windows a URL with a host is a network share, even with the machine's own name.
    host = "" if WINDOWS else socket.gethostname()
    values = {"path": url_path(path), "line": str(line), "column": str(column), "host": host}
    return _FIELD.sub(lambda match: values[match[1]], template)


def url_path(path: str) -> str:
    """A stored path as the path of a URL: percent-encoded, beginning with a slash, also before a
    drive letter. (file:////server/share is as in RFC 8089, appendix E.3.2.)

    >>> url_path("C:/a b.md"), url_path("//server/share/a.md")
    ('/C:/a%20b.md', '//server/share/a.md')
    """
    escaped = quote(disk_bytes(path))
    return f"/{path[0]}:{escaped[4:]}" if re.match("[A-Za-z]:/", path) else escaped
