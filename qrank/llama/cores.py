"""The default number of threads: one for each fast physical core.

Every layer waits for its slowest thread, so a thread on an efficiency core slows all others down,
and two threads on one core share its arithmetic.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Set
from pathlib import Path

DEVICES = Path("/sys/devices")
SYSCTL = ("/usr/sbin/sysctl", "hw.perflevel0.physicalcpu", "hw.physicalcpu")
FAST = 2 / 3  # of the fastest core's capacity, and more: a core of a phone's middle cluster is not


def default_threads() -> int:
    """How many threads are the fastest here, before anything is known of the model; at least 1."""
    if sys.platform == "darwin":
        return of_macos(_said_by_sysctl()) or os.cpu_count() or 1
    if sys.platform == "win32":
        return of_windows(os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        return of_linux(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def of_macos(text: str) -> int:
    """From what sysctl says: the performance cores, else all physical ones; 0 when it says none.

    >>> of_macos("hw.perflevel0.physicalcpu: 8\\nhw.physicalcpu: 10\\n")
    8
    """
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    counts = (values.get(name, "") for name in SYSCTL[1:])
    return next((int(count) for count in counts if count.isdecimal() and int(count)), 0)


def of_windows(processors: int) -> int:
    """From the number of processors: mostly each core is two of them."""
    return max(1, processors // 2)


def of_linux(allowed: Set[int], devices: Path = DEVICES) -> int:
    """From the processors that this process may use, and the kernel's data on them."""
    files = {cpu: _content(devices / f"system/cpu/cpu{cpu}/cpu_capacity") for cpu in allowed}
    capacities = {cpu: int(text) for cpu, text in files.items() if text.isdecimal()}
    of_intel = processors(_content(devices / "cpu_core/cpus"))
    siblings = {
        cpu: _content(devices / f"system/cpu/cpu{cpu}/topology/thread_siblings_list")
        for cpu in allowed
    }
    return count(fast(allowed, of_intel, capacities), siblings)


def fast(allowed: Set[int], of_intel: Set[int], capacities: Mapping[int, int]) -> Set[int]:
    """The processors of allowed that are not efficiency cores'; all when it has only such.

    of_intel: those of performance cores, where a hybrid processor of Intel's tells them.
    capacities: how fast each is by the kernel's measure, on ARM and newer kernels.

    >>> sorted(fast({0, 1, 2, 3}, {0, 1}, {})), sorted(fast({2, 3}, {0, 1}, {}))
    ([0, 1], [2, 3])
    >>> sorted(fast({0, 1, 4}, set(), {0: 381, 1: 381, 4: 1024}))
    [4]
    """
    if allowed & of_intel:
        return allowed & of_intel
    most = max(capacities.values(), default=0)
    return {cpu for cpu in allowed if capacities.get(cpu, most) >= FAST * most}


def count(chosen: Set[int], siblings: Mapping[int, str]) -> int:
    """How many physical cores the processors are of. siblings: the list of those that share a
    core with each; one of which nothing is told counts as a core.

    >>> count({0, 1, 4, 5}, {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}), count({0, 1}, {})
    (2, 2)
    """
    return max(1, len({siblings.get(cpu) or str(cpu) for cpu in chosen}))


def processors(listed: str) -> set[int]:
    """The numbers of a list as the kernel writes it.

    >>> sorted(processors("0-2,7"))
    [0, 1, 2, 7]
    """
    result: set[int] = set()
    for part in listed.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            result.update(range(int(first), int(last if last.isdecimal() else first) + 1))
    return result


def _content(path: Path) -> str:
    """The kernel's answer; nothing where there is none."""
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _said_by_sysctl() -> str:
    try:  # it goes on after a name that this machine does not have
        run = subprocess.run(SYSCTL, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout
