"""Printing how files would be split into chunks (`qrank chunks`, `qrank index --dry-run`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qrank import json_form

if TYPE_CHECKING:
    from qrank import FilePlan


def show(
    plans: Iterable[FilePlan],
    *,
    as_json: bool = False,
    as_jsonl: bool = False,
    counts: bool = False,
) -> int:
    """Print plans, and on stderr why files are skipped; returns the exit status: 0 there are
    chunks, 1 there are none, 2 no file could be read. counts: only numbers of chunks and tokens."""
    from qrank.cli.output import json_output, render

    chunks = tokens = skipped = read = 0
    documents = []
    secrets = []
    for plan in plans:
        if plan.reason:
            skipped += 1
            if plan.secret:
                secrets.append(plan.path)
            else:
                render.skipped(plan.path, plan.reason)
        else:
            read += 1
            if plan.note:
                render.skipped(plan.path, plan.note, partly=True)
            elif not plan.chunks and not counts:
                render.warning(f"no text in {render.short_path(plan.location)}")
        chunks += len(plan.chunks)
        if as_json:
            documents.append(json_form.file_plan(plan))
        elif as_jsonl:
            for chunk in plan.chunks:
                json_output.line(json_form.planned_chunk(plan, chunk))
        elif counts and not plan.reason:
            total = sum(map(plan.tokens, plan.chunks))
            render.file_count(plan, total)
            tokens += total
        elif not plan.reason:
            render.file_plan(plan)
    render.secrets_skipped(secrets)
    if as_json:
        json_output.document(json_form.file_plans(documents))
    elif counts and read > 1:
        print(f"{read} files: {render.plural(chunks, 'chunk')}, ~{tokens} tokens")
    if not read and not skipped:
        render.warning(
            "no files found; ignored and hidden files are skipped (see --no-ignore and --hidden)"
        )
    return 0 if chunks else 2 if skipped else 1
