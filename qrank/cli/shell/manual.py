"""Manual pages and the reference of commands, both generated from the help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qrank import __version__
from qrank.cli.help import EXAMPLES, record
from qrank.errors import InputError

ENVIRONMENT = {
    "QRANK_DB": "the index, a file or a URL",
    "QRANK_INDEX_KEY": "the key of the search engine that holds an index",
    "QRANK_EMBED_MODEL, QRANK_RERANK_MODEL": "the models",
    "QRANK_API_KEY": "the key of a server that models run on",
    "NO_COLOR, CLICOLOR, CLICOLOR_FORCE": "when to use color",
    "VISUAL, EDITOR": "what qrank open starts",
}
FILES = {
    ".qrank/index.db": "the index of a folder and all below it, made by qrank init",
    ".qrank/config.toml": "a project's settings",
    "config.toml in the user's config folder": "settings; qrank config path says where it is",
}


def page(root: Any, words: Sequence[str]) -> str:
    """The manual page of a command as roff. Raises InputError for an unknown command."""
    for name, context in commands(root):
        if name.split()[1:] == " ".join(words).split():
            return _roff(name, context)
    raise InputError(f"there is no command {' '.join(words)!r}", hint="see qrank --help")


def pages(root: Any) -> Iterator[tuple[str, str]]:
    """(file name without .1, roff) of every command."""
    for name, context in commands(root):
        yield name.replace(" ", "-"), _roff(name, context)


def markdown(root: Any) -> str:
    """The reference of commands as a page of the documentation, with the --help of each."""
    parts = ["# Commands\n\nTo look up a command or an option: the `--help` of each command.\n"]
    for name, context in commands(root):
        with context.scope():
            shown = context.command.get_help(context)
        parts.append(f"## {name}\n\n```text\n{_stripped(shown)}\n```\n")
    return "\n".join(parts)


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def commands(root: Any) -> Iterator[tuple[str, Any]]:
    """(full name, click context) of every command and group, in the order of --help. root: qrank's
    click command, which is the first."""
    yield from _below("qrank", root, None)


def _below(name: str, command: Any, parent: Any) -> Iterator[tuple[str, Any]]:
    context = command.context_class(
        command,
        info_name=name.split()[-1],
        parent=parent,
        terminal_width=80,
        max_content_width=80,
        help_option_names=["-h", "--help"],
    )
    yield name, context
    for sub in getattr(command, "commands", {}).values():
        yield from _below(f"{name} {sub.name}", sub, context)


def _roff(name: str, context: Any) -> str:
    """A command's page: its help, arguments, options, examples, environment and exit status."""
    command = context.command
    paragraphs = (command.help or "").split("\n\n")
    first = " ".join(paragraphs[0].split())
    title = name.replace(" ", "-")
    lines = [
        f'.TH "{_escaped(title.upper())}" "1" "" "qrank {__version__}" "qrank"',
        ".SH NAME",
        _text(f"{title} - {first[:1].lower()}{first[1:].rstrip('.')}"),
        ".SH SYNOPSIS",
        f".B {_escaped(name)}",
        _text(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
    ]
    for paragraph in paragraphs:
        text_lines = [_text(line.strip()) for line in paragraph.splitlines()]
        if text_lines[0] == "\b":  # click's mark for lines that stay as they are
            text_lines = [".nf", *text_lines[1:], ".fi"]
        lines += [".PP", *text_lines]
    records: dict[str, list[tuple[str, str]]] = {"ARGUMENTS": [], "OPTIONS": [], "COMMANDS": []}
    for parameter in command.get_params(context):
        if row := record(parameter, context):
            kind = "OPTIONS" if parameter.param_type_name == "option" else "ARGUMENTS"
            records[kind].append(row)
    for sub in getattr(command, "commands", {}).values():
        records["COMMANDS"].append((f"{name} {sub.name}", sub.get_short_help_str(400)))
    for heading, rows in records.items():
        if rows:
            lines.append(f".SH {heading}")
        for term, text in rows:
            lines += [".TP", f".B {_escaped(term)}", _text(text)]
    if examples := EXAMPLES.get(name.removeprefix("qrank ")):
        lines += [".SH EXAMPLES", ".nf", *(_text(example) for example in examples), ".fi"]
    lines += [".SH ENVIRONMENT"]
    for variable, text in ENVIRONMENT.items():
        lines += [".TP", f".B {_escaped(variable)}", _text(text)]
    lines += [".SH FILES"]
    for file, text in FILES.items():
        lines += [".TP", f".B {_escaped(file)}", _text(text)]
    lines += [".SH EXIT STATUS", "0 something was found or done; 1 nothing was found; 2 an error;"]
    lines += ["130 interrupted."]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A line of text, escaped: in roff, a line that begins with a dot or ' is a request."""
    escaped = _escaped(value)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(value: str) -> str:
    return value.replace("\\", "\\e").replace("-", "\\-")
