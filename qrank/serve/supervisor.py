"""The main process of the daemon: it has everything imported, and forks children.

It loads no model and opens no index. Each command runs in a child, which exits after it; each model
in a child that exits when the model was not used for a while. So errors and leaks end with a child,
and this process has a single thread and needs little memory.
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

SPARES = 2  # idle children that wait for the next command
MOST_COMMANDS = 48  # at a time; further clients run their commands themselves
MOST_PENDING = 64  # connections without a complete request; beyond, the oldest is closed
REQUEST_SECONDS = 10.0  # timeout for receiving a request
DRAIN_SECONDS = 10.0  # timeout for running commands when the process ends
CHECK_SECONDS = 60.0  # how often to check that the socket's file is still this process's
MOST_INDEXES = 50  # in the status

# On macOS models need a new program: Metal uses services that do not work after a fork.
EXEC_MODELS = sys.platform == "darwin"

log = logging.getLogger("qrank.serve")


@dataclass
class _Child:
    """A process that runs one command, or waits for one."""

    pid: int
    reports: int  # the pipe from which its reports are read
    busy: bool = False
    unparsed: bytes = b""


@dataclass
class _Model:
    """A process that has loaded a model."""

    pid: int
    control: socket.socket
    spec: dict[str, Any]
    clients: int = 1
    used: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class _Pending:
    """A connection whose request is not complete yet."""

    connection: socket.socket
    data: bytearray = field(default_factory=bytearray)
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Service:
    """A service, such as HTTP, that runs in a child as long as this process does."""

    name: str
    run: Callable[[], None]
    about: dict[str, Any] = field(default_factory=dict)  # is added to the status
    listening: socket.socket | None = None  # for the child; this process closes it


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
        """run: runs sys.argv as a command, calls its argument with the path of each index that it
        opens, and returns the exit status. prepare: see command.answer. idle, model_idle: seconds
        without use after which this process, or a model's, ends; 0: never."""
        self._listening, self._run, self._prepare = listening, run, prepare
        self._idle, self._model_idle = idle, model_idle
        self._identity = places.identity()
        self._children: dict[int, _Child] = {}
        self._models: dict[str, _Model] = {}
        self._pending: dict[_Pending, None] = {}  # oldest first
        self._services = list(services)
        self._service_pids: dict[int, Service] = {}
        self._indexes: dict[str, float] = {}  # when each was opened last
        self._commands = 0  # run so far
        self._used = self._checked = time.monotonic()
        self._ending: float | None = None
        self._selector = selectors.DefaultSelector()
        self._alive, self._lifeline = os.pipe()  # children read EOF when this process ends
        self._wake_reader, self._wake_writer = os.pipe()  # gets a byte for each signal
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)

    def serve(self) -> None:
        """Serve requests until told to end, or idle for too long."""
        os.chdir("/")  # so that no file system is kept mounted
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._wake)
        self._selector.register(self._listening.control, selectors.EVENT_READ, self._accept)
        gc.collect()
        gc.freeze()  # so that garbage collection in a child does not copy this process's memory
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
            return not busy or time.monotonic() - self._ending > DRAIN_SECONDS
        now = time.monotonic()
        if busy or any(model.clients for model in self._models.values()):
            self._used = now
        if self._idle and not self._services and now - self._used >= self._idle:
            log.info("idle for %g seconds: stopping", self._idle)
            return True
        return not self._is_reachable()

    def _is_reachable(self) -> bool:
        """Whether clients can still connect: the folder may have been removed."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return True
        self._checked = now
        return self._listening.is_current()

    def _wait(self) -> float:
        now = time.monotonic()
        ends = [CHECK_SECONDS]
        if self._ending is not None:
            ends.append(0.2)
        if self._idle:
            ends.append(self._used + self._idle - now)
        if self._model_idle:
            idle = (model.used for model in self._models.values() if not model.clients)
            ends += [used + self._model_idle - now for used in idle]
        ends += [pending.since + REQUEST_SECONDS - now for pending in self._pending]
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
        except OSError as error:  # out of files, processes or memory, until a command has ended
            log.warning("no process for the next command: %s", error)

    def _add_spare(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            pid = self._fork(lambda: self._run_one(writer), keep=(self._listening.commands, writer))
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        child = self._children[reader] = _Child(pid, reader)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._read_reports(child))

    def _run_one(self, reports: int) -> None:
        """In a child: wait for a command, and run it. reports: the pipe to the parent."""
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
        os.write(reports, b"b\n")
        commands.close()

        def opened(path: str) -> None:
            with suppress(OSError):
                os.write(reports, b"i" + os.fsencode(path) + b"\n")

        command.answer(connection, self._identity, self._prepare, lambda: self._run(opened))

    def _read_reports(self, child: _Child) -> None:
        """Read a child's reports: "b" for a command begun, "iPATH" for an index opened."""
        try:
            data = os.read(child.reports, 65536)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(child.reports)
            os.close(child.reports)
            del self._children[child.reports]
            return
        *lines, child.unparsed = (child.unparsed + data).split(b"\n")
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

    # control requests: for a model, the status, or to stop

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.control.accept()
        except OSError:
            return
        if places.peer(connection) != os.geteuid():
            connection.close()
            return
        if len(self._pending) >= MOST_PENDING:
            self._drop(next(iter(self._pending))).close()
        connection.setblocking(False)
        pending = _Pending(connection)
        self._pending[pending] = None
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read(pending))

    def _read(self, pending: _Pending) -> None:
        try:
            data = pending.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        pending.data += data
        if not data or len(pending.data) > 1 << 20:
            self._drop(pending).close()
            return
        if len(pending.data) < 8:
            return
        length = int.from_bytes(pending.data[:4], "big")
        if len(pending.data) < 8 + length:
            return
        connection = self._drop(pending)
        try:
            request = json.loads(pending.data[8 : 8 + length])
            self._used = time.monotonic()
            self._answer(connection, request)
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("a request that can't be answered: %r", error)
        finally:
            connection.close()

    def _drop(self, pending: _Pending) -> socket.socket:
        self._pending.pop(pending, None)
        self._selector.unregister(pending.connection)
        return pending.connection

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        if request["do"] == "model":
            self._connect_to_model(connection, request["model"])
        elif request["do"] == "status":
            wire.send(connection, self.status())
        elif request["do"] == "stop":
            self._end()
            wire.send(connection, {"pid": os.getpid()})

    def status(self) -> dict[str, Any]:
        """The JSON that `qrank serve status --json` prints."""
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

    # children that run models

    def _connect_to_model(self, connection: socket.socket, spec: dict[str, Any]) -> None:
        """Send a connection to the process of a model, which is started if needed."""
        key = json.dumps({name: value for name, value in spec.items() if name != "path"})
        model = self._models.get(key)
        if model is None:
            self._load(key, spec, connection)
            return
        try:
            socket.send_fds(model.control, [b"m"], [connection.fileno()])
        except BlockingIOError:
            return  # hundreds of connections are waiting
        except OSError:  # the process has just ended
            self._unload(key)
            self._load(key, spec, connection)
            return
        model.clients += 1

    def _load(self, key: str, spec: dict[str, Any], connection: socket.socket) -> None:
        ours, theirs = socket.socketpair()
        connection.setblocking(True)
        run = host.run_with_exec if EXEC_MODELS else host.run
        pid = self._fork(lambda: run(spec, theirs, connection), keep=(theirs, connection))
        theirs.close()
        ours.setblocking(False)
        self._models[key] = _Model(pid, ours, spec)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._released(key))

    def _released(self, key: str) -> None:
        """Handle that a model's process has closed connections, or has ended."""
        model = self._models[key]
        try:
            data = model.control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._unload(key)
            return
        model.clients -= len(data)
        self._used = model.used = time.monotonic()

    def _unload(self, key: str) -> None:
        """End a model's process: it exits when this socket is closed."""
        model = self._models.pop(key)
        self._selector.unregister(model.control)
        model.control.close()

    def _sweep(self) -> None:
        now = time.monotonic()
        for pending in [
            pending for pending in self._pending if now - pending.since > REQUEST_SECONDS
        ]:
            self._drop(pending).close()
        if not self._model_idle:
            return
        for key, model in list(self._models.items()):
            if not model.clients and now - model.used >= self._model_idle:
                log.info("unloaded %s", os.fsdecode(bytes.fromhex(model.spec["path"])))
                self._unload(key)

    # processes

    def _start_service(self, service: Service) -> None:
        pid = self._fork(service.run, keep=[service.listening] if service.listening else ())
        self._service_pids[pid] = service
        if service.listening:
            service.listening.close()

    def _fork(self, run: Callable[[], None], keep: Iterable[socket.socket | int]) -> int:
        """Fork a child that calls run and exits. Of the open files it keeps only `keep` and the
        pipe that tells it when this process ends; the lock above all must be closed."""
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
            os.read(self._wake_reader, 4096)

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
        """Stop all children; idle ones exit by themselves when the lifeline is closed."""
        self._listening.close()
        for child in self._children.values():
            if child.busy:
                with suppress(ProcessLookupError):
                    # It may be stopped by Ctrl-Z. It has to continue first: in a stopped process
                    # any thread may get SIGTERM, but it has to interrupt the main one.
                    os.kill(child.pid, signal.SIGCONT)
                    os.kill(child.pid, signal.SIGTERM)
        for pid in self._service_pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for key in list(self._models):
            self._unload(key)
        os.close(self._lifeline)
