"""llama.cpp's own interface, loaded once, with its messages kept from the terminal."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

# Waiting threads give their core up soon. By default GNU OpenMP lets them spin for milliseconds:
# with another busy program on the machine, small models then ran thirty times slower.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@contextmanager
def _without_its_package() -> Iterator[None]:
    """Let modules of llama_cpp be imported without what their package imports for programs that
    chat (jinja2, diskcache, uuid …): that takes four times as long as they do. Who imports the
    package afterwards gets all of it."""
    spec = None if "llama_cpp" in sys.modules else find_spec("llama_cpp")
    if spec is None:
        yield
        return
    sys.modules["llama_cpp"] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules["llama_cpp"]


with _without_its_package():
    import llama_cpp.llama_cpp as llama
    from llama_cpp._ggml import libggml

__all__ = ["errors", "interrupts_held", "libggml", "llama", "system_info"]


class _Errors(threading.local):
    """The last things llama.cpp complained about in this thread: two may load a model each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def clear(self) -> None:
        """Forget them."""
        self.lines.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)


errors = _Errors()


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _keep_errors(level: int, text: bytes, _: object) -> None:
    if level in (3, 4):  # GGML_LOG_LEVEL_WARN, GGML_LOG_LEVEL_ERROR
        errors.lines.append(text.decode("utf-8", "replace").strip())
        del errors.lines[:-20]


def system_info() -> str:
    """What llama.cpp was built with, and what of the processor it uses."""
    text = llama.llama_print_system_info().decode("utf-8", "replace")
    return " ".join(part for part in text.replace("|", " ").split() if part not in ("=", "1"))


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the end: raised inside the callback above, one is lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # None: of another library, which could not be put back.
    ours = {number: handler for number, handler in handlers.items() if handler is not None}
    for number in ours:
        signal.signal(number, lambda number, _frame: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])


llama.llama_log_set(_keep_errors, None)
llama.llama_backend_init()
