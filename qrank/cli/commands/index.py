"""qrank index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qrank import json_form
from qrank.cli.input import file_options
from qrank.cli.options import NewEmbedModel
from qrank.cli.state import current
from qrank.errors import InputError

if TYPE_CHECKING:
    from qrank.reports import IndexReport


def index(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH...]", help="Folders and files. [default: those of all collections]"
        ),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Add PATH to this collection; without PATH, update this one. [default: default]",
        ),
    ] = None,
    embed_model: NewEmbedModel = None,
    embed: Annotated[
        bool, typer.Option("--embed/--no-embed", help="Whether to compute vectors.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be indexed; write nothing."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep the index up to date until interrupted.")
    ] = False,
    no_ignore: file_options.NoIgnore = False,
    hidden: file_options.Hidden = False,
    include_secrets: file_options.IncludeSecrets = False,
    globs: file_options.Globs = None,
    types: file_options.Types = None,
    max_filesize: file_options.MaxFilesize = None,
    whole_home: Annotated[
        bool, typer.Option("--whole-home", help="Allow PATH to be your whole home folder.")
    ] = False,
    archives: file_options.Archives = False,
    ocr: file_options.Ocr = False,
    ocr_language: file_options.OcrLanguage = None,
    fields: file_options.Fields = None,
    pre: file_options.Pre = None,
    pre_globs: file_options.PreGlobs = None,
    timeout: file_options.Timeout = None,
) -> None:
    """Index folders and files, or update what is indexed.

    Only files that changed since the last run are read and embedded; deleted files are removed from
    the index. It can be interrupted at any time: the next run continues from there. Without PATH
    all collections are updated, with the options that their folders were indexed with.
    """
    from qrank import standalone
    from qrank.cli.output import json_output, plans, render

    if not all(paths or ()):
        raise InputError("a path is empty", hint="name a folder or file, or . for this folder")
    walking = file_options.walking(
        no_ignore=no_ignore,
        hidden=hidden,
        include_secrets=include_secrets,
        globs=globs,
        types=types,
        max_filesize=max_filesize,
        whole_home=whole_home,
    )
    reading = file_options.reading(
        fields,
        pre,
        pre_globs,
        timeout,
        include_secrets=include_secrets,
        archives=archives,
        ocr=ocr,
        ocr_language=ocr_language,
    )
    if not paths and (dry_run or watch):
        raise InputError(f"{'--dry-run' if dry_run else '--watch'} needs a PATH")
    if dry_run:
        with current().open_index() as index_file:
            walking = index_file.walking(collection, walking)
        planned = standalone.plan(paths or (), walking=walking, reading=reading)
        raise typer.Exit(plans.show(planned, as_json=as_json, counts=True))
    index_file = current().open_index(embed_model=embed_model)

    def run() -> IndexReport:
        with render.progress() as progress:
            options: Any = {
                "embed": embed,
                "progress": progress,
                "walking": walking,
                "reading": reading,
            }
            if paths:
                report = index_file.add(paths, collection=collection, **options)
            else:
                report = index_file.update(collections=collection or (), **options)
        render.errors(report)
        if not paths and not collection:
            render.not_updated(report, index_file.collections())
        return report

    def print_report(report: IndexReport) -> None:
        if as_json:
            json_output.document(json_form.index_report(report))
        else:
            render.index_report(report, index_file.path)

    with index_file:
        # Started before the first run, so that changes during it are handled by the next one.
        changes = (
            standalone.changes(paths or (), walking=walking, but=index_file.path)
            if watch
            else iter(())
        )
        report = run()
        print_report(report)
        if report.replaced:
            render.warning(f"{report.model} replaced {', '.join(report.replaced)}")
        if report.embedded and report.added and not (report.unchanged or report.updated):
            # Only in the first run; qrank status also shows better models.
            render.hint_at_better_models(report.model)
        if watch:
            render.warning("watching for changes; press Ctrl-C to stop")
            for _ in changes:
                report = run()
                if report.changed:
                    print_report(report)
    if not report.file_count and (report.failed or report.skipped):
        raise typer.Exit(2)
