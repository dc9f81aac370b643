"""Recommending models that fit this machine, with their quality and cost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from qrank.llama import devices
from qrank.models.in_use import command
from qrank.models.registry import Entry, Registry, Role

SPARE, GROWTH = 100 << 20, 1.2  # what a model takes: so many bytes, and its file times that
SHARE = 0.5  # of the machine's memory that a model may take
SMALL = 300 << 20  # bytes of a file that is quick enough on a CPU


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run models on; bytes of memory."""

    cores: int
    memory: int
    gpus: tuple[tuple[str, int], ...]

    @property
    def gpu_memory(self) -> int:
        """Of the largest GPU."""
        return max((memory for _, memory in self.gpus), default=0)


def this_machine() -> Machine:
    """The machine as this build of llama.cpp sees it: a GPU it was not built for is none."""
    all_devices = devices.devices()
    memory = next((d.total for d in all_devices if d.name.lower() == devices.CPU), 0)
    gpus = tuple(
        (d.description or d.name, d.total) for d in all_devices if d.name.lower() != devices.CPU
    )
    return Machine(os.cpu_count() or 1, memory, gpus)


def recommend(models: Registry, machine: Machine) -> dict[str, Any]:
    """The models that bring something, with what they cost here, as `qrank models recommend
    --json` says it. One of each role is recommended: the best that is quick here."""
    from qrank.upkeep.speeds import known_speed

    rows = []
    for role in Role:
        offered = [e for e in models.of_role(role) if e.brings and not e.unsupported]
        offered.sort(key=lambda e: e.preference)
        best = max(
            (e for e in offered if _quick(e, machine)), key=lambda e: e.preference, default=None
        )
        taken = models.best_installed(role)
        for entry in offered:
            place = entry.find()
            size = place.path.stat().st_size if place else entry.download_bytes
            rows.append(
                {
                    "alias": entry.alias,
                    "kind": role.value,
                    "brings": entry.brings,
                    "installed": entry.installed,
                    "auto": entry == taken,
                    "download_bytes": None if entry.installed else entry.download_bytes,
                    "memory_bytes": _needed(size) if size else None,
                    "fits": _place(size, machine),
                    "tokens_per_second": known_speed(place.path) if place else None,
                    "recommended": entry == best,
                    "command": command(entry),
                }
            )
    return {
        "machine": {
            "cores": machine.cores,
            "memory_bytes": machine.memory,
            "gpus": [{"name": name, "memory_bytes": memory} for name, memory in machine.gpus],
        },
        "models": rows,
    }


def _needed(size: int) -> int:
    return SPARE + int(GROWTH * size)


def fits_memory(size: int | None, machine: Machine) -> bool:
    """Whether a file of so many bytes, if that is known, leaves half of the memory to others."""
    return size is None or _place(size, machine) is not None


def _place(size: int | None, machine: Machine) -> str | None:
    """Where a file of so many bytes can run: gpu, cpu, slow (on the CPU), or nowhere (None)."""
    if size is None:
        return None
    needed = _needed(size)
    if needed <= machine.gpu_memory:
        return "gpu"
    if needed > SHARE * machine.memory:
        return None
    return "cpu" if size <= SMALL else "slow"


def _quick(entry: Entry, machine: Machine) -> bool:
    """Whether a model fits, and answers in about a second or two."""
    place = entry.find()
    size = place.path.stat().st_size if place else entry.download_bytes
    return _place(size, machine) in ("gpu", "cpu")
