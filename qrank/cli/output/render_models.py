"""Output of `qrank models` for people."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from qrank.cli.output.escape import escape_line
from qrank.cli.output.progress_lines import Lines
from qrank.cli.output.render import plural, report, size, warning
from qrank.cli.output.terminal import animates
from qrank.cli.state import current
from qrank.models.registry import Entry
from qrank.progress import Progress

QUALITY = "MTEB-eng-v2"  # the published benchmark in the list


def table(models: Sequence[dict[str, Any]]) -> None:
    """Print the models: whether they are installed, size, speed here, published quality."""
    rows = [("model", "kind", "installed", "size", "here", "MTEB", "from")]
    for model in models:
        bytes_ = model["bytes"] or model["download_bytes"]
        speed = model["tokens_per_second"]
        quality = model["published"].get(QUALITY)
        owner = model["owner"] if model["owner"] not in (None, "qrank") else "yes"
        installed = (owner if model["installed"] else "no") + (", auto" * model["auto"])
        rows.append(
            (
                model["alias"],
                model["kind"],
                "can't run" if model["unsupported"] else installed,
                size(bytes_) if bytes_ else "",
                f"{speed:,.0f} tok/s" if speed else "",
                f"{quality:.1f}" if quality else "",
                model["source"],
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    if sys.stdout.isatty() and sum(widths) + 12 > shutil.get_terminal_size().columns:
        widths.pop()  # where a model is from; `qrank models show` has it
    for row in rows:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        print(escape_line(line.rstrip()))
    print(f"\nauto: used by default. MTEB: published score on {QUALITY}.")
    print("qrank models pull MODEL downloads a model, qrank models show MODEL shows details.")


def recommended(advice: dict[str, Any]) -> None:
    """Print the machine in a line, and what each model is good for and costs here."""
    machine = advice["machine"]
    gpus = [f"{gpu['name']} ({size(gpu['memory_bytes'])})" for gpu in machine["gpus"]]
    has = ", ".join(gpus) or "no GPU that this build of llama.cpp can use"
    cores = plural(machine["cores"], "processor")
    print(escape_line(f"this machine: {cores}, {size(machine['memory_bytes'])} of memory, {has}"))
    for model in advice["models"]:
        mark = "*" if model["recommended"] else " "
        print()
        print(escape_line(f"{mark} {model['alias']} ({model['kind']}): {model['brings']}"))
        speed = model["tokens_per_second"]
        costs = [
            "installed" if model["installed"] else _download(model["download_bytes"]),
            f"{size(model['memory_bytes'])} of memory" if model["memory_bytes"] else "",
            {"gpu": "fits the GPU", "cpu": "on the CPU", "slow": "slow on the CPU"}.get(
                model["fits"], "too large for this machine" if model["memory_bytes"] else ""
            ),
            f"{speed:,.0f} tokens/s here" if speed else "",
        ]
        print(f"    {', '.join(filter(None, costs))}")
        if not model["installed"]:
            print(escape_line(f"    {model['command']}"))
    print("\n* recommended here; qrank models bench measures the speed of those installed")


def _download(count: int | None) -> str:
    return f"{size(count)} to download" if count else "size not known"


def details(about: dict[str, Any]) -> None:
    """Print a model's fields, one per line; unknown ones are skipped."""
    for name, value in about.items():
        if value in (None, "", {}, []):
            continue
        if name == "files":
            for file in value:
                others = {k: v for k, v in file.items() if v and k != "source"}
                _line("file", file["source"])
                for key, of_file in others.items():
                    _line(f"  {key}", of_file)
        elif isinstance(value, dict):
            for key, inner in value.items():
                _line(f"{name}: {key}", inner)
        else:
            _line(name, repr(value) if "\n" in str(value) else value)


def _line(name: str, value: object) -> None:
    print(escape_line(f"{name:<22} {value}"))


def pulled(name: str, entry: Entry, path: Path, fetched: bool) -> None:
    """Print that a model is installed and, to stderr, the command to use it."""
    from qrank.models import in_use

    bytes_ = size(path.stat().st_size)
    report(f"{name}: {'' if fetched else 'already installed, '}{bytes_}, {path}")
    if not entry.bundled:
        warning(f"next: {in_use.command(replace(entry, alias=name))}")


def verified(results: Sequence[dict[str, Any]]) -> None:
    """Print the results of verifying files, one per line."""
    for result in results:
        word = "as published" if result["checked"] else "intact (no published checksum known)"
        report(f"{result['alias']}: {word}, {result['kind']}, {result['path']}")


def problem(message: str) -> None:
    """Print an error to stderr; the last one is raised instead, and ends the run."""
    print("qrank:", escape_line(message), file=sys.stderr)


def written(path: Path) -> None:
    """Print the path and size of a file that was written."""
    report(f"{path}: {size(path.stat().st_size)}")


def speeds(measured: Sequence[dict[str, Any]]) -> None:
    """Print the measured speeds, one file per line, and which one is recommended."""
    for model in measured:
        for speed in model["speeds"]:
            best = speed["quantization"] == model["recommended"] and len(model["speeds"]) > 1
            print(
                escape_line(
                    f"{model['alias']} ({model['kind']})  {speed['quantization'] or '?':<7}"
                    f"{size(speed['bytes']):>9}  {speed['tokens_per_second']:>8,.0f} tokens/s  "
                    f"{speed['chunks_per_second']:>6.1f} chunks/s"
                    f"{'  recommended' if best else ''}"
                )
            )


@contextmanager
def transfer() -> Iterator[Progress]:
    """A progress that counts bytes: a bar on a terminal, else a line at the start of each stage."""
    if animates():
        from qrank.cli.output.transfer_bar import TransferBar

        with TransferBar() as bar:
            yield bar
    else:
        with _Lines(warning, times=current().verbose) as lines:
            yield lines


class _Lines(Lines):
    """A line at the start of each stage, then one per minute, counted in bytes."""

    def stage(self, name: str, total: int | None) -> None:
        """Start a stage, and print its name."""
        super().stage(name, total)
        warning(name)

    @property
    def steps(self) -> str:
        """The bytes that are done, and the total."""
        done = size(self._done) if self._done else ""
        return f"{done or size(0)} of {size(self._total)}" if self._total else done
