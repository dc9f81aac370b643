"""The warm process itself: it has everything imported, and forks.

It holds no model and opens no index. Each command is run by a child that ends with it, a model is
held by a child that ends when nobody has used it for a while. So what one of them does wrong, or
leaves behind, ends with it, and this process needs one thread and little memory.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from qrank import __version__
from qrank.serve import command, host, places, wire
from qrank.serve.listen import Listening

SPARES = 2  # children that wait for the next command
MOST_COMMANDS = 48  # at once; further clients run theirs themselves
MOST_ASKING = 64  # connections whose request has not come yet; then the oldest is closed
PATIENCE = 10.0  # seconds for it to come
DRAINING = 10.0  # seconds that running commands get when the process ends
CHECKED = 60.0  # seconds after which it is looked whether the socket is still this process's
MOST_INDEXES = 50  # that status names

# What a model runs on may not work in a fork: Metal asks services that a fork cannot reach.
ANEW = sys.platform == "darwin"

log = logging.getLogger("qrank.serve")


@dataclass
class _Child:
    """A process that runs one command, or waits for one."""

    pid: int
    notes: int  # where it tells what it is at
    busy: bool = False
    unread: bytes = b""


@dataclass
class _Model:
    """A process that holds a model."""

    pid: int
    control: socket.socket
    spec: dict[str, Any]
    clients: int = 1
    used: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class _Asking:
    """A connection on which a request comes."""

    connection: socket.socket
    data: bytearray = field(default_factory=bytearray)
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Service:
    """Something that runs beside, in a child of its own, as long as the process does."""

    name: str
    run: Callable[[], None]
    about: dict[str, Any] = field(default_factory=dict)  # what status shows of it
    listening: socket.socket | None = None  # the child has it; this process closes it


class Supervisor:
    """Forks a child for each command, and one for each model."""

    def __init__(
        self,
        listening: Listening,
        run: Callable[[Callable[[str], None]], int],
        prepare: Callable[[], str],
        *,
        idle: float,
        model_idle: float,
        services: Iterable[Service] = (),
    ) -> None:
        """run: runs sys.argv as a command, and tells of each index that it opens. prepare: why
        the client should run its command itself. idle, model_idle: seconds without use after
        which this process and a model's end; 0: never."""
        self._listening, self._run, self._prepare = listening, run, prepare
        self._idle, self._model_idle = idle, model_idle
        self._identity = places.identity()
        self._children: dict[int, _Child] = {}
        self._models: dict[str, _Model] = {}
        self._asking: dict[_Asking, None] = {}  # the oldest first
        self._services = list(services)
        self._service_pids: dict[int, Service] = {}
        self._indexes: dict[str, float] = {}
        self._commands = 0  # so far
        self._used = self._checked = time.monotonic()
        self._ending: float | None = None
        self._selector = selectors.DefaultSelector()
        self._alive, self._lifeline = os.pipe()  # the children's end reads EOF when this one ends
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waking, False)

    def serve(self) -> None:
        """Answer until told to end, or nobody has asked for long."""
        os.chdir("/")  # no folder is kept from being unmounted
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake)
        self._selector.register(self._listening.control, selectors.EVENT_READ, self._accept)
        gc.collect()
        gc.freeze()  # the collector of a child need not touch, and so copy, what is here already
        for service in self._services:
            self._start_service(service)
        try:
            while not self._is_done():
                self._add_spares()
                for key, _ in self._selector.select(self._wait()):
                    key.data()
                self._reap()
                self._sweep()
        finally:
            self._stop_all()

    def _end(self) -> None:
        if self._ending is None:
            self._ending = time.monotonic()

    def _is_done(self) -> bool:
        busy = any(child.busy for child in self._children.values())
        if self._ending is not None:
            self._listening.close()
            return not busy or time.monotonic() - self._ending > DRAINING
        now = time.monotonic()
        if busy or any(model.clients for model in self._models.values()):
            self._used = now
        if self._idle and not self._services and now - self._used >= self._idle:
            log.info("idle for %g seconds: stopping", self._idle)
            return True
        return not self._is_listened_to()

    def _is_listened_to(self) -> bool:
        """Whether clients still find this process: its folder may have been removed."""
        now = time.monotonic()
        if now - self._checked < CHECKED:
            return True
        self._checked = now
        return self._listening.is_current()

    def _wait(self) -> float:
        now = time.monotonic()
        ends = [CHECKED]
        if self._ending is not None:
            ends.append(0.2)
        if self._idle:
            ends.append(self._used + self._idle - now)
        if self._model_idle:
            idle = (model.used for model in self._models.values() if not model.clients)
            ends += [used + self._model_idle - now for used in idle]
        ends += [asking.since + PATIENCE - now for asking in self._asking]
        return max(0.01, min(ends))

    # children that run commands

    def _add_spares(self) -> None:
        if self._ending is not None:
            return
        busy = sum(child.busy for child in self._children.values())
        waiting = len(self._children) - busy
        try:
            for _ in range(min(SPARES - waiting, MOST_COMMANDS - busy - waiting)):
                self._add_spare()
        except OSError as error:  # of files, processes or memory: until a command has ended
            log.warning("no process for the next command: %s", error)

    def _add_spare(self) -> None:
        notes, end = os.pipe()
        os.set_blocking(notes, False)
        try:
            pid = self._fork(lambda: self._run_one(end), keep=(self._listening.commands, end))
        except OSError:
            os.close(notes)
            raise
        finally:
            os.close(end)
        child = self._children[notes] = _Child(pid, notes)
        self._selector.register(notes, selectors.EVENT_READ, lambda: self._note(child))

    def _run_one(self, notes: int) -> None:
        """Wait for a command, and run it. In the child."""
        commands = self._listening.commands
        commands.setblocking(False)
        while True:
            ready, _, _ = select.select([commands.fileno(), self._alive], [], [])
            if self._alive in ready:
                return
            try:
                connection, _ = commands.accept()
                if not wire.is_gone(connection):
                    break
                connection.close()
            except (BlockingIOError, ConnectionError):  # another child was quicker
                continue
        os.write(notes, b"b\n")
        commands.close()

        def opened(path: str) -> None:
            with suppress(OSError):
                os.write(notes, b"i" + os.fsencode(path) + b"\n")

        command.answer(connection, self._identity, self._prepare, lambda: self._run(opened))

    def _note(self, child: _Child) -> None:
        """Take in what a child tells."""
        try:
            data = os.read(child.notes, 65536)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(child.notes)
            os.close(child.notes)
            del self._children[child.notes]
            return
        *lines, child.unread = (child.unread + data).split(b"\n")
        for line in lines:
            self._used = time.monotonic()
            if line == b"b":
                child.busy = True
                self._commands += 1
            elif line[:1] == b"i":
                path = os.fsdecode(line[1:])
                self._indexes.pop(path, None)
                self._indexes[path] = time.time()
                while len(self._indexes) > MOST_INDEXES:
                    del self._indexes[next(iter(self._indexes))]

    # requests of others: for a model, or about the process

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.control.accept()
        except OSError:
            return
        if places.peer(connection) != os.geteuid():
            connection.close()
            return
        if len(self._asking) >= MOST_ASKING:
            self._drop(next(iter(self._asking))).close()
        connection.setblocking(False)
        asking = _Asking(connection)
        self._asking[asking] = None
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read(asking))

    def _read(self, asking: _Asking) -> None:
        try:
            data = asking.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        asking.data += data
        if not data or len(asking.data) > 1 << 20:
            self._drop(asking).close()
            return
        if len(asking.data) < 8:
            return
        length = int.from_bytes(asking.data[:4], "big")
        if len(asking.data) < 8 + length:
            return
        connection = self._drop(asking)
        try:
            request = json.loads(asking.data[8 : 8 + length])
            self._used = time.monotonic()
            self._answer(connection, request)
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("a request that can't be answered: %r", error)
        finally:
            connection.close()

    def _drop(self, asking: _Asking) -> socket.socket:
        self._asking.pop(asking, None)
        self._selector.unregister(asking.connection)
        return asking.connection

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        if request["do"] == "model":
            self._hand_over(connection, request["model"])
        elif request["do"] == "status":
            wire.send(connection, self.status())
        elif request["do"] == "stop":
            self._end()
            wire.send(connection, {"pid": os.getpid()})

    def status(self) -> dict[str, Any]:
        """What `qrank serve status --json` prints."""
        now = time.monotonic()
        about: dict[str, Any] = {
            "running": True,
            "pid": os.getpid(),
            "version": __version__,
            "socket": self._listening.path,
            "http": None,
            "token_file": None,
        }
        for service in self._services:
            about |= service.about
        return about | {
            "commands": self._commands,
            "models": [
                {
                    "role": model.spec["role"],
                    "path": os.fsdecode(bytes.fromhex(model.spec["path"])),
                    "pid": model.pid,
                    "clients": model.clients,
                    "idle_seconds": 0 if model.clients else round(now - model.used),
                }
                for model in self._models.values()
            ],
            "indexes": [*self._indexes],
        }

    # children that hold models

    def _hand_over(self, connection: socket.socket, spec: dict[str, Any]) -> None:
        """Give a connection to the process that holds the model, which is started if need be."""
        key = json.dumps({name: value for name, value in spec.items() if name != "path"})
        model = self._models.get(key)
        if model is None:
            self._load(key, spec, connection)
            return
        try:
            socket.send_fds(model.control, [b"m"], [connection.fileno()])
        except BlockingIOError:
            return  # hundreds wait for it
        except OSError:  # it has just ended
            self._forget(key)
            self._load(key, spec, connection)
            return
        model.clients += 1

    def _load(self, key: str, spec: dict[str, Any], connection: socket.socket) -> None:
        ours, theirs = socket.socketpair()
        connection.setblocking(True)
        hold = host.run_anew if ANEW else host.run
        pid = self._fork(lambda: hold(spec, theirs, connection), keep=(theirs, connection))
        theirs.close()
        ours.setblocking(False)
        self._models[key] = _Model(pid, ours, spec)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._released(key))

    def _released(self, key: str) -> None:
        """Take in that a model's process has closed connections, or has ended."""
        model = self._models[key]
        try:
            data = model.control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(key)
            return
        model.clients -= len(data)
        self._used = model.used = time.monotonic()

    def _forget(self, key: str) -> None:
        """Let a model's process end: it does when this end is closed."""
        model = self._models.pop(key)
        self._selector.unregister(model.control)
        model.control.close()

    def _sweep(self) -> None:
        now = time.monotonic()
        for asking in [asking for asking in self._asking if now - asking.since > PATIENCE]:
            self._drop(asking).close()
        if not self._model_idle:
            return
        for key, model in list(self._models.items()):
            if not model.clients and now - model.used >= self._model_idle:
                log.info("unloaded %s", os.fsdecode(bytes.fromhex(model.spec["path"])))
                self._forget(key)

    # processes

    def _start_service(self, service: Service) -> None:
        pid = self._fork(service.run, keep=[service.listening] if service.listening else ())
        self._service_pids[pid] = service
        if service.listening:
            service.listening.close()

    def _fork(self, run: Callable[[], None], keep: Iterable[socket.socket | int]) -> int:
        """Start a child; it ends when run does. It keeps these files, and what tells it that this
        process has ended; all others are closed, the lock above all."""
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            numbers = {file if isinstance(file, int) else file.fileno() for file in keep}
            self._close_all_but(numbers)
            run()
            status = 0
        except BaseException:
            log.exception("a child has failed")
        finally:
            os._exit(status)

    def _close_all_but(self, numbers: set[int]) -> None:
        first = 3
        for number in sorted(numbers | {self._alive}):
            os.closerange(first, number)
            first = max(first, number + 1)
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if status:
                log.info("process %d has ended with %d", pid, os.waitstatus_to_exitcode(status))
            if service := self._service_pids.pop(pid, None):
                log.warning("%s has ended", service.name)
                self._services.remove(service)

    def _stop_all(self) -> None:
        """End what still runs: the children that wait see it from their lifeline."""
        self._listening.close()
        for child in self._children.values():
            if child.busy:
                with suppress(ProcessLookupError):
                    # Ctrl-Z may have stopped it. First it continues: in a stopped process any
                    # thread may get the signal, and only calls of the main one are to end.
                    os.kill(child.pid, signal.SIGCONT)
                    os.kill(child.pid, signal.SIGTERM)
        for pid in self._service_pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for key in list(self._models):
            self._forget(key)
        os.close(self._lifeline)
