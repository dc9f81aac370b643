"""The original resource limits of a worker process, for the commands that it starts.

A worker limits its own address space and processor time; a user's command that inherited these
limits might not even start (Java reserves gigabytes).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NAMES = ("RLIMIT_AS", "RLIMIT_CPU")
_before: dict[int, int] = {}  # resource -> soft limit


def remember_limits() -> None:
    """Store the present soft limits, before they are lowered."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    for name in _NAMES:
        kind = getattr(resource, name)
        _before[kind] = resource.getrlimit(kind)[0]


def address_space() -> int:
    """Bytes of address space that this process uses; 0 where the platform does not report it."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return 0


@contextmanager
def original_limits() -> Iterator[None]:
    """Processes started inside have the limits stored by remember_limits. (They are set for this
    process meanwhile, as a preexec_fn would run Python between fork and exec.)"""
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
