"""The default number of threads: one for each fast physical core.

Every layer waits for its slowest thread, so a thread on an efficiency core slows all others down,
and two threads on one core share its arithmetic units.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Set
from pathlib import Path

DEVICES = Path("/sys/devices")
SYSCTL = ("/usr/sbin/sysctl", "hw.perflevel0.physicalcpu", "hw.physicalcpu")
FAST = 2 / 3  # of the fastest core's capacity: a core with less is not used


def default_threads() -> int:
    """The number of threads that is fastest on this machine for most models; at least 1."""
    if sys.platform == "darwin":
        return of_macos(_sysctl()) or os.cpu_count() or 1
    if sys.platform == "win32":
        return of_windows(os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        return of_linux(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def of_macos(text: str) -> int:
    """The number of performance cores in sysctl's output, else of physical cores, else 0.

    >>> of_macos("hw.perflevel0.physicalcpu: 8\\nhw.physicalcpu: 10\\n")
    8
    """
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    counts = (values.get(name, "") for name in SYSCTL[1:])
    return next((int(count) for count in counts if count.isdecimal() and int(count)), 0)


def of_windows(processors: int) -> int:
    """Half the number of logical processors: most cores have two."""
    return max(1, processors // 2)


def of_linux(allowed: Set[int], devices: Path = DEVICES) -> int:
    """The number of fast physical cores among the processors that this process may use, by the
    kernel's data under devices."""
    files = {cpu: _content(devices / f"system/cpu/cpu{cpu}/cpu_capacity") for cpu in allowed}
    capacities = {cpu: int(text) for cpu, text in files.items() if text.isdecimal()}
    of_intel = processors(_content(devices / "cpu_core/cpus"))
    siblings = {
        cpu: _content(devices / f"system/cpu/cpu{cpu}/topology/thread_siblings_list")
        for cpu in allowed
    }
    return count(fast(allowed, of_intel, capacities), siblings)


def fast(allowed: Set[int], of_intel: Set[int], capacities: Mapping[int, int]) -> Set[int]:
    """The allowed processors that are not on efficiency cores; all when there are no others.

    of_intel: the processors of performance cores, on Intel's hybrid processors.
    capacities: the kernel's cpu_capacity by processor, on ARM and newer kernels.

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
    """The number of physical cores of processors. siblings: by processor, the kernel's list of
    those on the same core; a processor without an entry counts as a core.

    >>> count({0, 1, 4, 5}, {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}), count({0, 1}, {})
    (2, 2)
    """
    return max(1, len({siblings.get(cpu) or str(cpu) for cpu in chosen}))


def processors(listed: str) -> set[int]:
    """Parse the kernel's format for lists of processors.

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
    """The content of a file in /sys; "" when there is none."""
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _sysctl() -> str:
    try:  # sysctl skips names that this machine does not have
        run = subprocess.run(SYSCTL, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout
