"""Resource limits of a process, and the soft limits it had before.

A worker gives itself little address space and processor time; a user's command that inherits that
may not even start (Java reserves gigabytes).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NAMES = ("RLIMIT_AS", "RLIMIT_CPU")
_before: dict[int, int] = {}  # resource -> soft limit


def remember() -> None:
    """Keep the limits that are in force now."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    for name in _NAMES:
        kind = getattr(resource, name)
        _before[kind] = resource.getrlimit(kind)[0]


def address_space() -> int:
    """Bytes of it that this process has taken; 0 where the platform does not say."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return 0


@contextmanager
def lifted() -> Iterator[None]:
    """What is started within has the limits that were remembered. (They are set for this process
    for that long: a preexec_fn would run Python between fork and exec.)"""
    now: dict[int, tuple[int, int]] = {}
    if _before:
        import resource

        for kind, soft in _before.items():
            now[kind] = resource.getrlimit(kind)
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (soft, now[kind][1]))
    try:
        yield
    finally:
        for kind, limits in now.items():
            resource.setrlimit(kind, limits)
