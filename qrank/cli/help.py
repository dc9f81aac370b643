"""Additions to click's --help: options under headings, and examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qrank.settings import MOST

# An option is shown under the first heading that lists it, unless it has a rich_help_panel.
_PANELS = {
    "What to search": "query interactive queries resume input",
    "What to read": (
        "ignore no_ignore hidden include_secrets archives ocr ocr_language pre pre_glob "
        "timeout whole_home glob max_filesize"
    ),
    "Filters": (
        "collection path where links_to linked_from regex literal type since until per_file "
        "copies min_score stale refresh no_refresh"
    ),
    "Ranking": "mode rerank candidates budget deadline exact instruct",
    "Output": (
        "limit offset sort context full explain hyperlink_format json jsonl csv files_with_matches "
        "null count format fields max_tokens"
    ),
    "Models": "embed_model rerank_model embed threads gpu_layers device",
    "General": "db color quiet debug verbose no_serve help",
}
_ANY_NUMBER = re.compile(rf"\[[01]<=x<={MOST}\]$|; [01]<=x<={MOST}(?=\]$)")
_MANY = 12  # options: fewer are shown without headings

EXAMPLES = {
    "index": [
        "qrank index sample_corpus",
        "qrank index sample_corpus -g '*.md' -g '!world' --no-embed",
        "qrank index sample_corpus --dry-run",
    ],
    "search": [
        'qrank search "who may work alone at night"',
        "qrank search pg_promote --mode bm25",
        'qrank search "keep photos safe" --path howto -n 3',
        "qrank search 'tea type:markdown' --where 'mtime>=2020'",
        "qrank search 'starter -bread \"nail varnish\"' -n 3",
        'qrank search "renew a certificate" --json | jq -r ".results[].path"',
        'qrank search "when does annual leave expire" --max-tokens 2000',
    ],
    "fields": ["qrank fields"],
    "collections": ["qrank collections"],
    "similar": ["qrank similar sample_corpus/howto/brakes.md -n 3"],
    "rerank": ['cat sample_corpus/*/*.txt | qrank rerank "why is the sea high twice a day" -n 3'],
    "embed": ["echo 'a text about tides' | qrank embed --dims 64"],
    "chunks": ["qrank chunks sample_corpus/howto/brakes.md"],
    "status": ["qrank status", "qrank status sample_corpus/howto"],
    "eval": ["qrank eval sample_corpus/queries.jsonl --configs bm25,hybrid --queries-limit 20"],
}


def record(parameter: Any, context: Any) -> tuple[str, str] | None:
    """(names, help) of a parameter, None if it is hidden. A range without limits is not shown."""
    shown = parameter.get_help_record(context)
    return shown and (shown[0], _ANY_NUMBER.sub("", shown[1]).strip())


def write_options(command: Any, context: Any, formatter: Any) -> None:
    """Write the arguments of a command, then its options, under headings if there are many."""
    records: dict[str, list[tuple[str, str]]] = {"Arguments": []}
    options = [p for p in command.get_params(context) if p.param_type_name == "option"]
    for parameter in command.get_params(context):
        if row := record(parameter, context):
            heading = "Options"
            if parameter.param_type_name != "option":
                heading = "Arguments"
            elif len(options) > _MANY:
                heading = parameter.rich_help_panel or _panel(parameter.opts)
            records.setdefault(heading, []).append(row)
    for heading in ("Arguments", "Options", *_PANELS):
        if rows := records.get(heading):
            with formatter.section(heading):
                formatter.write_dl(rows)
    if examples := EXAMPLES.get(_name(context)):
        with formatter.section("Examples"):
            formatter.write("".join(f"  {example}\n" for example in examples))


def _name(context: Any) -> str:
    """The command as it is typed, without the program: serve status."""
    words: list[str] = []
    while context.parent:
        words.insert(0, context.command.name)
        context = context.parent
    return " ".join(words)


def _panel(names: Sequence[str]) -> str:
    long = {name.lstrip("-").replace("-", "_") for name in names}
    named = (heading for heading, options in _PANELS.items() if long & set(options.split()))
    return next(named, "Options")
