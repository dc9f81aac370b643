"""The file of a model that this machine runs fastest, of those that rank as well as F16."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qrank.errors import ModelError
from qrank.models.registry import Entry, File, Role
from qrank.upkeep.recommend import fits_memory, this_machine
from qrank.upkeep.speeds import CLOSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qrank.progress import Progress

# Their nDCG@10 is within .003 of F16's, where Q4_0 moves it by up to .011 (docs/models.md).
AS_GOOD = ("F32", "BF16", "F16", "Q8_0")


def fastest(entry: Entry, progress: Progress) -> Entry:
    """An embedder's entry with that file alone which runs fastest here, published or made of a
    published one; of those that are nearly as fast the one with the least to download. The entry
    itself where there is nothing to choose, or it is not known: on a GPU.

    How fast this machine is with each type is measured once, in a second or two.
    """
    machine = this_machine()
    files = [
        file
        for file in entry.files
        if file.quantization in AS_GOOD and fits_memory(_size(file), machine)
    ]
    if entry.role is not Role.embedder or len(files) < 2 or machine.gpus:
        return entry
    speeds = _speeds([file.quantization for file in files], progress)
    if not speeds:
        return entry
    most = max(speeds.values())
    near = [file for file in files if speeds[file.quantization] >= CLOSE * most]
    chosen = min(near, key=lambda file: file.download_bytes or 0)
    shares = ", ".join(f"{kind} {rate / most:.2f}" for kind, rate in speeds.items())
    progress.stage(
        f"{entry.alias}: {chosen.quantization} for this machine (speeds: {shares})", None
    )
    return replace(entry, files=(chosen,))


def _size(file: File) -> int | None:
    """About its bytes; one that is made has the size of what it is made of."""
    return _size(file.made_of) if file.made_of else file.bytes or file.about_bytes


def _speeds(kinds: Sequence[str], progress: Progress) -> dict[str, float]:
    """How fast this machine is with each type; nothing where it can't be measured."""
    from qrank.llama.trial import tokens_per_second
    from qrank.store.cache import Cache

    cache = Cache()
    known = cache.speeds()
    if any(_key(kind) not in known for kind in kinds):
        progress.stage("measuring which type of file is the fastest here", None)
        try:
            measured = tokens_per_second(kinds)
        except (ModelError, OSError):  # no room for 100 MB, say
            return {}
        for kind, rate in measured.items():
            cache.put_speed(_key(kind), rate)
        return measured
    return {kind: known[_key(kind)] for kind in kinds}


def _key(kind: str) -> str:
    return f"type:{kind}"
