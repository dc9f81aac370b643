"""The config files of MCP clients, and the entry for qrank's server in them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qrank import files
from qrank.errors import InputError

NAME = "qrank"
BEGIN, END = "<!-- qrank: begin -->", "<!-- qrank: end -->"
ADVICE = f"""\
{BEGIN}
## Searching this project with qrank

The MCP server `qrank` searches the indexed files of this project by keywords and by meaning.

- `search`: when you do not know the exact words ("where are retries limited?"), or when documents,
  notes or PDFs may have the answer. Each result has its path, lines and id. Use grep for an exact
  string or a name.
- `get`: read on, by a result's id, or by path and lines. It reads PDF and Office files as text.
- `similar`: what is most like a file or a line of it: related notes, copied code.
- `status`: which index is used and what it holds. When a file is missing, run `qrank index FOLDER`.

A result that is marked STALE has changed since it was indexed: read the file itself, or run
`qrank index` again.
{END}
"""


@dataclass(frozen=True, slots=True)
class Client:
    """A program that starts MCP servers. project, user: its config file, relative to the project's
    folder and to the home folder; keys: of the table of servers in it; entry: makes a server's
    entry from its command."""

    title: str
    keys: tuple[str, ...]
    entry: Callable[[Sequence[str]], dict[str, Any]]
    project: str | None
    user: str | None


def _plain(command: Sequence[str]) -> dict[str, Any]:
    return {"command": command[0], "args": list(command[1:])}


def _vscode(command: Sequence[str]) -> dict[str, Any]:
    return {"type": "stdio", **_plain(command), "cwd": "${workspaceFolder}"}


def _opencode(command: Sequence[str]) -> dict[str, Any]:
    return {"type": "local", "command": list(command), "enabled": True}


def _desktop_folder() -> str:
    if sys.platform == "darwin":
        return "Library/Application Support/Claude"
    return "AppData/Roaming/Claude" if os.name == "nt" else ".config/Claude"


SERVERS = ("mcpServers",)
CLIENTS: Mapping[str, Client] = {
    "claude": Client("Claude Code", SERVERS, _plain, ".mcp.json", ".claude.json"),
    "claude-desktop": Client(
        "Claude Desktop", SERVERS, _plain, None, f"{_desktop_folder()}/claude_desktop_config.json"
    ),
    "codex": Client("Codex", ("mcp_servers",), _plain, ".codex/config.toml", ".codex/config.toml"),
    "cursor": Client("Cursor", SERVERS, _plain, ".cursor/mcp.json", ".cursor/mcp.json"),
    "gemini": Client(
        "Gemini CLI", SERVERS, _plain, ".gemini/settings.json", ".gemini/settings.json"
    ),
    "opencode": Client(
        "opencode", ("mcp",), _opencode, "opencode.json", ".config/opencode/opencode.json"
    ),
    "vscode": Client("VS Code", ("servers",), _vscode, ".vscode/mcp.json", None),
    "windsurf": Client("Windsurf", SERVERS, _plain, None, ".codeium/windsurf/mcp_config.json"),
    "zed": Client(
        "Zed", ("context_servers",), _plain, ".zed/settings.json", ".config/zed/settings.json"
    ),
}


def config_file(client: Client, folder: Path, home: Path, *, user: bool) -> Path:
    """The config file to write to. Raises InputError when the client has none of that kind."""
    path = client.user if user else client.project
    if path is None:
        kinds = ("project", "user") if user else ("user", "project")
        raise InputError(
            f"{client.title} has no config file of a {kinds[1]}",
            hint=f"use {'--user' if kinds[0] == 'user' else 'it without --user'}",
        )
    return (home if user else folder) / path


def with_server(client: Client, path: Path, command: Sequence[str]) -> str:
    """The text of a config file with qrank's server added or replaced; the rest is unchanged.

    Raises InputError for a file that can't be read or parsed.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {path}: {error}", hint="add it by hand: --print") from error
    entry = client.entry(command)
    return (
        _toml(client, path, text, entry)
        if path.suffix == ".toml"
        else _json(client, path, text, entry)
    )


def _json(client: Client, path: Path, text: str, entry: dict[str, Any]) -> str:
    try:
        config = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:  # for instance comments, in Zed's file
        raise InputError(
            f"{path} is not plain JSON: {error}", hint="add it by hand: --print"
        ) from None
    _add(client, path, config, entry)
    return json.dumps(config, ensure_ascii=False, indent=2) + "\n"


def _toml(client: Client, path: Path, text: str, entry: dict[str, Any]) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        config = tomlkit.parse(text)
    except TOMLKitError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    if client.keys[0] not in config:
        config[client.keys[0]] = tomlkit.table(is_super_table=True)
    _add(client, path, config, entry)
    return tomlkit.dumps(config)


def _add(client: Client, path: Path, config: Any, entry: dict[str, Any]) -> None:
    table = config
    for key in client.keys:
        if not isinstance(table, dict) or not isinstance(table.setdefault(key, {}), dict):
            raise InputError(f"{path}: {key} is not a table", hint="add it by hand: --print")
        table = table[key]
    table[NAME] = entry


def snippet(client: Client, command: Sequence[str], *, toml: bool) -> str:
    """A config file with nothing but qrank's server, to add by hand."""
    path = Path("config.toml" if toml else "config.json")
    entry = client.entry(command)
    return _toml(client, path, "", entry) if toml else _json(client, path, "", entry)


def with_advice(text: str) -> str:
    """The text of AGENTS.md with the section on qrank's tools added or replaced.

    >>> with_advice("# Rules\\n").startswith("# Rules\\n\\n<!-- qrank")
    True
    >>> with_advice(with_advice("# Rules\\n")) == with_advice("# Rules\\n")
    True
    """
    before, begin, rest = text.partition(BEGIN)
    if begin and END in rest:
        after = rest.partition(END)[2].removeprefix("\n")
        return before + ADVICE + after
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return text + gap + ADVICE


def write(path: Path, text: str) -> None:
    """Write a file atomically. Raises InputError."""
    try:
        files.write_text(path, text)
    except OSError as error:
        raise InputError(f"can't write {path}: {files.reason(error)}") from error
