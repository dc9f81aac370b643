"""Quality against latency as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qrank import files
from qrank.errors import InputError
from qrank.evaluation.measure import MAIN
from qrank.evaluation.report import Numbers


def check(path: Path) -> None:
    """Whether path can be drawn: asked before hours of measuring, not after.

    Raises InputError when matplotlib is missing, or the folder, or the suffix is none it knows.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise InputError(
            "--plot needs matplotlib", hint="install it with: pip install 'qrank[plot]'"
        ) from None
    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in kinds:
        raise InputError(
            f"{path} can't be drawn", hint=f"use a name that ends in one of: {', '.join(kinds)}"
        )
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} can't be drawn: there is no folder {path.absolute().parent}")


def plot(numbers: Mapping[str, Numbers], path: Path) -> None:
    """Draw each configuration's nDCG@10 over its median milliseconds, into path by its suffix.

    Raises InputError when path can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for config, row in numbers.items():
        axes.scatter(row["ms_p50"], row[MAIN])
        axes.annotate(config, (row["ms_p50"], row[MAIN]), xytext=(6, 4), textcoords="offset points")
    axes.set_xscale("log")
    axes.margins(0.2)
    axes.set_xlabel("milliseconds a query (median, models loaded)")
    axes.set_ylabel("nDCG@10")
    axes.grid(alpha=0.3)
    try:
        with files.replacing(path) as part:
            figure.savefig(part, format=path.suffix[1:].lower())
    except OSError as error:
        raise InputError(f"can't write {path}: {files.reason(error)}") from error
