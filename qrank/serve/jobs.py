"""The queue of one model: the requests of several clients are computed in common batches, in turn,
so that no client waits until another's request is done."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

A = TypeVar("A")  # a question
O = TypeVar("O")  # noqa: E741  # an answer

PER_TURN = 4  # questions of a job that are computed before it is the next job's turn
MOST_UNREAD = 16  # batches of answers that a client has not read; it may be stopped by Ctrl-Z


@dataclass(eq=False)
class _Job(Generic[A, O]):
    """The questions of one client. is_connected: whether it still waits for the answers.
    is_behind: whether it has too many unread answers, and so gets no turn until it reads some."""

    questions: deque[A]
    is_connected: Callable[[], bool]
    answers: queue.SimpleQueue[list[O] | Exception] = field(default_factory=queue.SimpleQueue)
    is_behind: bool = False


class Jobs(Generic[A, O]):
    """Answers questions of several threads in turn: PER_TURN questions of a job, then as many of
    the next. Thread-safe."""

    def __init__(self, compute: Callable[[Iterable[A]], Generator[list[O], None, None]]) -> None:
        """compute: yields the answers to questions, in order, batch by batch; it may take further
        questions from the iterable while a batch is computed."""
        self._compute = compute
        self._waiting: deque[_Job[A, O]] = deque()
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None

    def answers(
        self, questions: Sequence[A], is_connected: Callable[[], bool]
    ) -> Iterator[list[O]]:
        """Yield lists of answers to questions, in order, as they are computed. Ends early when
        is_connected() is false. Raises what computing them raises."""
        if not questions:
            return
        job: _Job[A, O] = _Job(deque(questions), is_connected)
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
        """Queue a job. The lock must be held."""
        self._waiting.append(job)
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            owners: deque[_Job[A, O]] = deque()  # the jobs of the questions without an answer yet
            try:
                with closing(self._compute(self._questions(owners))) as batches:
                    for batch in batches:
                        self._distribute(batch, owners)
            except Exception as error:  # of the model: it concerns all jobs of the batch
                for job in set(owners):
                    self._drop(job)
                    job.answers.put(error)

    def _questions(self, owners: deque[_Job[A, O]]) -> Iterator[A]:
        """The questions in the order in which they are computed, until there are none."""
        while questions := self._turn(owners):
            yield from questions

    def _turn(self, owners: deque[_Job[A, O]]) -> list[A]:
        """The next questions of the job whose turn it is; owners is extended by their job."""
        with self._changed:
            while self._waiting:
                job = self._waiting.popleft()
                if job.questions and not job.is_connected():
                    job.questions.clear()
                    job.answers.put([])
                if not job.questions:
                    continue
                if job.answers.qsize() >= MOST_UNREAD:
                    job.is_behind = True
                    continue
                self._waiting.append(job)
                questions = [
                    job.questions.popleft() for _ in range(min(PER_TURN, len(job.questions)))
                ]
                owners.extend([job] * len(questions))
                return questions
            return []

    def _drop(self, job: _Job[A, O]) -> None:
        with self._changed:
            job.questions.clear()

    @staticmethod
    def _distribute(batch: list[O], owners: deque[_Job[A, O]]) -> None:
        """Put the answers of a batch into the queues of their jobs."""
        by_job: dict[_Job[A, O], list[O]] = {}
        for answer in batch:
            by_job.setdefault(owners.popleft(), []).append(answer)
        for job, answers in by_job.items():
            job.answers.put(answers)
