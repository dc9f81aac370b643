"""qrank models."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.options import Command, ModelCommand
from qrank.cli.shell import complete
from qrank.cli.state import current
from qrank.errors import InputError, QrankError
from qrank.models.registry import Entry, Role
from qrank.settings import ANYWHERE

app = typer.Typer(
    help="List, download, convert and measure models.", no_args_is_help=True, rich_markup_mode=None
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RoleOption = Annotated[
    Role | None, typer.Option(help="The embedder or the reranker, if a name has both.")
]
Name = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An alias, or alias:QUANTIZATION.",
        autocompletion=complete.models,
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="Aliases, alias:QUANTIZATION, or hf:OWNER/REPO/FILE.gguf.",
        autocompletion=complete.models,
    ),
]
PulledNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL...]",
        help="Aliases, alias:QUANTIZATION, or hf:OWNER/REPO/FILE.gguf. [default: show what fits]",
        autocompletion=complete.models,
    ),
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL...]",
        help="Aliases or paths. [default: all installed]",
        autocompletion=complete.models,
    ),
]


@app.callback()
def _models() -> None:
    """List, download, convert and measure models."""


@app.command("list", cls=Command)
def list_models(role: RoleOption = None, as_json: Json = False) -> None:
    """List models: installed or not, size, speed, quality.

    Speed is what `qrank models bench` measured here; quality is what others published.
    """
    from qrank.cli.output import json_output, render_models
    from qrank.upkeep import inventory

    models = inventory.all_models(current().models, role)
    if as_json:
        json_output.document(models)
    else:
        render_models.table(models)


@app.command(cls=Command)
def show(name: Name, role: RoleOption = None, as_json: Json = False) -> None:
    """Show the files, prompts, scores and metadata of a model."""
    from qrank.cli.output import json_output, render_models
    from qrank.upkeep import inventory

    entries = inventory.entries_of(current().models, name, role)
    if as_json:
        shown = {entry.role.value: inventory.show(entry) for entry in entries}
        json_output.document(shown if len(entries) > 1 else inventory.show(entries[0]))
        return
    for number, entry in enumerate(entries):
        if number:
            print()
        render_models.details(inventory.show(entry))


@app.command(cls=Command)
def recommend(as_json: Json = False) -> None:
    """Show which models fit this machine, with their quality and cost.

    This depends on memory, on a GPU that llama.cpp was built for, and on the speed that
    `qrank models bench` measured here.
    """
    from qrank.cli.output import json_output, render_models
    from qrank.upkeep import recommend as upkeep

    advice = upkeep.recommend(current().models, upkeep.this_machine())
    if as_json:
        json_output.document(advice)
    else:
        render_models.recommended(advice)


@app.command(cls=Command)
def pull(names: PulledNames = None, role: RoleOption = None, as_json: Json = False) -> None:
    """Download models, unless they are on this machine already.

    Without a name: show which ones fit this machine, as `qrank models recommend` does.

    Of a model with several files the one that made the vectors of the index is taken, as no other
    can search it; for a new index, of an embedder the one that this machine runs fastest, of those
    that rank as well. Models that other tools downloaded are found. An interrupted download
    resumes; the SHA-256 is checked. HF_ENDPOINT sets a mirror, HF_HOME another folder, HF_TOKEN
    your access token.
    """
    from qrank.cli.output import json_output, render_models
    from qrank.upkeep import inventory
    from qrank.upkeep.fastest import fastest

    if not names:
        recommend(as_json)
        return
    models = current().models
    entries = [inventory.entry_of(models, name, role) for name in names]
    with suppress(QrankError):  # the settings of this folder may be untrusted
        index = current().settings.index_path(current().db)
        entries = [inventory.of_index(models, entry, index) for entry in entries]
    done = []
    with render_models.transfer() as progress:
        for name, named in zip(names, entries, strict=True):
            new = named in models.entries and not named.installed
            entry = fastest(named, progress) if new else named
            path, fetched = inventory.pull(entry, progress)
            done.append(json_form.pulled_model(name, path, fetched))
            if not as_json:
                render_models.pulled(name, entry, path, fetched)
    if as_json:
        json_output.document(done)


@app.command(cls=Command)
def verify(
    names: SomeNames = None,
    role: RoleOption = None,
    as_json: Json = False,
) -> None:
    """Check that model files are as published, by SHA-256."""
    from qrank.cli.output import json_output, render_models
    from qrank.upkeep import inventory

    entries = _named(names, role) or inventory.on_disk(current().models, role)
    results, problems = [], []
    for entry in entries:
        try:
            results.append(inventory.verify(current().models, entry))
        except QrankError as error:
            problems.append(error)
    if as_json:
        json_output.document(results)
    else:
        render_models.verified(results)
    for problem in problems[:-1]:
        render_models.problem(str(problem))
    if problems:
        raise problems[-1]


def _named(names: list[str] | None, role: Role | None) -> list[Entry]:
    from qrank.upkeep import inventory

    return [
        entry
        for name in names or ()
        for entry in inventory.entries_of(current().models, name, role)
    ]


@app.command(cls=Command)
def remove(names: Names, role: RoleOption = None, as_json: Json = False) -> None:
    """Delete model files.

    They are deleted from qrank's own folder or Hugging Face's cache.
    """
    from qrank.cli.output import json_output, render
    from qrank.upkeep import inventory

    entries = [inventory.entry_of(current().models, name, role) for name in names]
    paths = [str(inventory.remove(entry)) for entry in entries]
    if as_json:
        pairs = zip(names, paths, strict=True)
        json_output.document([json_form.removed_model(name, path) for name, path in pairs])
    else:
        for path in paths:
            render.report(f"removed {path}")


@app.command("import", cls=Command)
def import_folder(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="A published model: safetensors, tokenizer.json."),
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The .gguf file to write.")],
    kind: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Also quantize it to Q8_0, Q4_0, …")
    ] = None,
) -> None:
    """Convert a published model to GGUF.

    Kinds: Qwen3-Embedding, Qwen3-Reranker, BERT and ModernBERT.

    Kind, pooling, head and vocabulary are taken from the folder's own configuration.
    """
    from qrank.cli.output import render_models
    from qrank.upkeep import inventory

    with render_models.transfer() as progress:
        path = inventory.import_folder(folder, out, kind, progress)
    render_models.written(path)


@app.command(cls=Command)
def quantize(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A .gguf file in F32, F16 or BF16.")
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The .gguf file to write.")],
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="The quantization: Q8_0, Q4_0, …")
    ] = "Q8_0",
) -> None:
    """Quantize a model file with llama.cpp."""
    from qrank.cli.output import render_models
    from qrank.upkeep import inventory

    with render_models.transfer() as progress:
        path = inventory.quantize(source, out, kind, progress)
    render_models.written(path)


@app.command(cls=ModelCommand)
def bench(
    names: SomeNames = None,
    role: RoleOption = None,
    types: Annotated[
        str, typer.Option("--types", metavar="T,T…", help="Also measure these quantizations.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Measure the speed of models here, in tokens per second.

    --types Q4_0,BF16 also measures the model in these quantizations; which one is fastest depends
    on the processor. The most precise of the fast ones is recommended.
    """
    from qrank.cli.output import json_output, render_models
    from qrank.upkeep import inventory, speeds

    kinds = [kind.strip() for kind in types.split(",") if kind.strip()]
    quantizations = inventory.quantizations()
    if unknown := [kind for kind in kinds if kind not in quantizations]:
        raise InputError(f"unknown type {unknown[0]!r}", hint=f"use {', '.join(quantizations)}")
    entries = _named(names, role) or inventory.on_disk(current().models, role)
    report = []
    own = current().placement
    where = current().settings.placement(own)
    seconds = min(speeds.SECONDS, speeds.IN_ALL / max(1, len(entries) * (1 + len(kinds))))
    with render_models.transfer() as progress:
        for entry in entries:
            path = inventory.path_of(entry)
            # What flags of this run changed does not hold for other runs.
            measured = speeds.bench_types(
                entry.role, path, kinds, where, progress, seconds, keep=own == ANYWHERE
            )
            best = speeds.recommended(measured)
            report.append(json_form.model_speeds(entry, measured, best))
    if as_json:
        json_output.document(report)
    else:
        render_models.speeds(report)
