"""The queue of one model: requests of several clients are packed together, and each gets its turn,
so that none waits until another is done."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

A = TypeVar("A")  # what is asked
O = TypeVar("O")  # noqa: E741  # what is answered

AT_ONCE = 4  # questions that a client gets computed before the next client has its turn
MOST_UNREAD = 16  # packs of answers that wait for a client; it may have been stopped by Ctrl-Z


@dataclass(eq=False)
class _Job(Generic[A, O]):
    """The questions of one client. is_wanted: whether it still waits for them. is_behind: it gets
    no turn until it has read some answers."""

    questions: deque[A]
    is_wanted: Callable[[], bool]
    answers: queue.SimpleQueue[list[O] | Exception] = field(default_factory=queue.SimpleQueue)
    is_behind: bool = False


class Jobs(Generic[A, O]):
    """Answers questions of several threads, those of the oldest job first, AT_ONCE of them; then
    the next job has its turn."""

    def __init__(self, compute: Callable[[Iterable[A]], Generator[list[O], None, None]]) -> None:
        """compute: answers to questions, in order, pack by pack; it takes the next ones while a
        pack is computed."""
        self._compute = compute
        self._waiting: deque[_Job[A, O]] = deque()
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None

    def answers(self, questions: Sequence[A], is_wanted: Callable[[], bool]) -> Iterator[list[O]]:
        """Yield the answers to questions in order, some at a time, as they are there; fewer when
        they are not wanted any more. Raises what computing them raises."""
        if not questions:
            return
        job: _Job[A, O] = _Job(deque(questions), is_wanted)
        with self._changed:
            self._add(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, daemon=True)
                self._worker.start()
        left = len(questions)
        try:
            while left:
                answers = job.answers.get()
                with self._changed:
                    if job.is_behind:
                        job.is_behind = False
                        self._add(job)
                if isinstance(answers, Exception):
                    raise answers
                if not answers:
                    return
                left -= len(answers)
                yield answers
        finally:
            self._drop(job)

    def _add(self, job: _Job[A, O]) -> None:
        """Let a job have its turns. The lock is held."""
        self._waiting.append(job)
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            taken: deque[_Job[A, O]] = deque()  # whose the answers will be that are not there yet
            try:
                with closing(self._compute(self._questions(taken))) as packs:
                    for pack in packs:
                        self._hand_out(pack, taken)
            except Exception as error:  # of the model, and so of all who wait for this pack
                for job in set(taken):
                    self._drop(job)
                    job.answers.put(error)

    def _questions(self, taken: deque[_Job[A, O]]) -> Iterator[A]:
        """The questions in the order in which they are answered, until there is none."""
        while questions := self._turn(taken):
            yield from questions

    def _turn(self, taken: deque[_Job[A, O]]) -> list[A]:
        """The next questions of the job whose turn it is."""
        with self._changed:
            while self._waiting:
                job = self._waiting.popleft()
                if job.questions and not job.is_wanted():
                    job.questions.clear()
                    job.answers.put([])
                if not job.questions:
                    continue
                if job.answers.qsize() >= MOST_UNREAD:
                    job.is_behind = True
                    continue
                self._waiting.append(job)
                questions = [
                    job.questions.popleft() for _ in range(min(AT_ONCE, len(job.questions)))
                ]
                taken.extend([job] * len(questions))
                return questions
            return []

    def _drop(self, job: _Job[A, O]) -> None:
        with self._changed:
            job.questions.clear()

    @staticmethod
    def _hand_out(pack: list[O], taken: deque[_Job[A, O]]) -> None:
        """Give each job its answers of a pack."""
        by_job: dict[_Job[A, O], list[O]] = {}
        for answer in pack:
            by_job.setdefault(taken.popleft(), []).append(answer)
        for job, answers in by_job.items():
            job.answers.put(answers)
