"""The time limit of searches on a terminal: how many candidates are reranked, and the draft."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import model_server
import pexpect
import pytest
from support import COMMAND, Run, complaint, wait_until

from qrank import Answer, Index
from qrank.llama.gguf import sha256
from qrank.models.registry import Registry, Role
from qrank.progress import Silent
from qrank.searching.time_limit import FEWEST, TimeLimit
from qrank.store.cache import Cache

Qrank = Callable[..., Run]
QUERY = "how long can a sourdough starter be kept in the fridge"
HOUR = 3600.0


@pytest.fixture
def reranker() -> str:
    """What the bundled reranker's rate is kept under."""
    path = Registry().resolve(Role.reranker, "tiny").path
    assert path
    return sha256(path)


@pytest.fixture
def index(sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Index]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda: Index(sample_db)


def places(answer: Answer) -> list[str]:
    return [result.id for result in answer]


@pytest.mark.parametrize(
    ("rate", "seconds", "known", "fitting"),
    [
        (None, 3, (), 20),  # nothing is known: the first batch is the measurement
        ((1e6, 0.0), 3600, (), 20),
        ((1.0, 0.0), 1005, (), 10),
        ((1.0, 500.0), 1005, (), 5),  # less what loading takes
        ((1.0, 0.0), 1005, (0, 1, 2), 13),  # what is cached takes no time
        ((1.0, 0.0), 1005, range(20), 20),
        ((1.0, 0.0), 0, (), 0),
        ((1.0, 5000.0), 1005, range(20), 0),
    ],
)
def test_what_fits(
    tmp_path: Path,
    rate: tuple[float, float] | None,
    seconds: float,
    known: Sequence[int],
    fitting: int,
) -> None:
    cache = Cache(tmp_path / "cache.db")
    if rate:
        cache.put_reading_rate("model", *rate)
    limit = TimeLimit(cache, "model", seconds, [100] * 20)
    assert limit.fitting(known) == fitting


def test_a_damaged_rate_is_no_rate(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.db")
    for rate in (0.0, -5.0, float("inf")):
        cache.put_reading_rate("model", rate, 0.0)
        assert TimeLimit(cache, "model", 3, [100] * 20).fitting(()) == 20


def test_as_many_as_fit_are_read(index: Callable[[], Index], reranker: str) -> None:
    with index() as opened:
        plain = opened.search(QUERY, rerank=False, limit=30)
        full = opened.search(QUERY, limit=30)
        assert (full.reranked, full.promised) == (30, None)
    Cache().clear()
    Cache().put_reading_rate(reranker, 1.0, 0.0)
    with index() as opened:
        answer = opened.search(QUERY, limit=30, answer_seconds=2 * HOUR)
        assert FEWEST <= answer.reranked < 30
        assert answer.promised == 2 * HOUR < answer.needed
        assert not answer.truncated  # --budget did not
        assert set(places(answer)[: answer.reranked]) == set(places(plain)[: answer.reranked])
        again = opened.search(QUERY, limit=30, answer_seconds=2 * HOUR)
        assert again.reranked >= answer.reranked  # what is cached takes no time


def test_too_few_are_not_read_at_all(index: Callable[[], Index], reranker: str) -> None:
    Cache().put_reading_rate(reranker, 1.0, 0.0)
    with index() as opened:
        answer = opened.search(QUERY, answer_seconds=100)
        assert places(answer) == places(opened.search(QUERY, rerank=False))
        assert (answer.reranked, answer.models["rerank"], answer.promised) == (0, None, 100)
        assert opened.decoded > 0  # the query was embedded


def test_a_search_measures_the_rate(index: Callable[[], Index], reranker: str) -> None:
    assert Cache().reading_rate(reranker) is None
    with index() as opened:
        assert opened.search(QUERY, answer_seconds=HOUR).reranked == 30
    measured = Cache().reading_rate(reranker)
    assert measured
    assert measured[0] > 0 < measured[1]
    with index() as opened:  # all is cached: nothing was measured
        assert opened.search(QUERY, answer_seconds=HOUR).reranked == 30
    assert Cache().reading_rate(reranker) == measured


def test_a_first_batch_that_takes_too_long_ends_it(index: Callable[[], Index]) -> None:
    with index() as opened:
        answer = opened.search(QUERY, answer_seconds=0)
        assert answer.reranked == 0
        assert places(answer) == places(opened.search(QUERY, rerank=False))
        assert answer.needed > 0


def test_drafts_go_from_the_fused_order_to_the_final_one(index: Callable[[], Index]) -> None:
    drafts: list[tuple[int, list[str], list[float]]] = []

    class Drafts(Silent):
        def draft(self, answer: Answer) -> None:
            drafts.append((answer.reranked, places(answer), [r.score for r in answer]))

    with index() as opened:
        plain = opened.search(QUERY, rerank=False)
        answer = opened.search(QUERY, progress=Drafts())
    assert drafts[0] == (0, places(plain), [r.score for r in plain])
    assert [count for count, _, _ in drafts] == sorted({count for count, _, _ in drafts})
    assert drafts[-1] == (30, places(answer), [r.score for r in answer])


def on_terminal(environment: dict[str, str], folder: Path, *words: str, **more: str) -> str:
    child = pexpect.spawn(
        str(COMMAND),
        list(words),
        cwd=str(folder),
        env=environment | {"TERM": "xterm-256color", "NO_COLOR": "1"} | more,
        encoding="utf-8",
        timeout=120,
        dimensions=(60, 120),
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return str(child.before)


def test_on_a_terminal_only(
    qrank: Qrank, environment: dict[str, str], sample_db: Path, tmp_path: Path, reranker: str
) -> None:
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    cache = Cache(tmp_path / "cache" / "qrank" / "cache.db")
    words = ("search", QUERY, "--db", str(sample_db))

    def slow() -> None:
        cache.clear()
        cache.put_reading_rate(reranker, 1.0, 0.0)

    slow()
    shown = on_terminal(environment, tmp_path, *words, **home)
    assert re.search(r"qrank: not reranked: .* about \d+ s here \(--candidates 30 ", shown), shown
    explained = on_terminal(environment, tmp_path, *words, "--explain", **home)
    assert re.search(r", 0 reranked in 3 s \(answer_seconds\); all: about \d+ s", explained)
    for more in (("--candidates", "30"), ("--budget", "3600")):
        slow()
        shown = on_terminal(environment, tmp_path, *words, *more, "--explain", **home)
        assert ", 30 reranked\r\n" in shown, shown
        assert "not reranked" not in shown
    slow()
    shown = on_terminal(
        environment, tmp_path, *words, "--explain", QRANK_ANSWER_SECONDS="0", **home
    )
    assert ", 30 reranked\r\n" in shown
    for form in (("--json",), ("--jsonl",), ()):
        slow()
        run = qrank(*words, *form, **home)
        assert run.returncode == 0
        assert "not reranked" not in run.stderr
        assert form != ("--json",) or run.json()["reranked"] == 30


def test_the_setting_is_a_number_of_seconds(qrank: Qrank) -> None:
    assert qrank("config", "set", "answer_seconds", "2.5").returncode == 0
    assert qrank("config", "get", "answer_seconds").stdout == "2.5\n"
    for bad in ("soon", "-1", "nan"):
        assert "answer_seconds" in complaint(qrank("config", "set", "answer_seconds", "--", bad))
    assert qrank("config", "set", "answer_seconds").returncode == 0


def test_an_interrupted_search_prints_the_best_so_far(
    environment: dict[str, str], sample_db: Path, tmp_path: Path
) -> None:
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "QRANK_ANSWER_SECONDS": "0"}
    with model_server.running(answers=1) as server:  # to what it is asked at first
        words = ["search", QUERY, "--db", str(sample_db), "--rerank-model", server.url]
        child = pexpect.spawn(
            str(COMMAND),
            words,
            env=environment | {"TERM": "xterm-256color", "NO_COLOR": "1"} | home,
            encoding="utf-8",
            timeout=120,
            dimensions=(60, 120),
        )
        child.expect(r"sourdough-starter\.md")  # the fused order, before anything was read
        wait_until(server.holding.is_set)
        child.kill(signal.SIGINT)
        server.go_on.set()
        child.expect(pexpect.EOF)
        child.close()
    last = re.sub(r"\x1b\[[0-9;]*m", "", str(child.before))
    assert child.exitstatus == 130, last
    assert re.search(r" 1  0\.\d+ .*sourdough-starter\.md:", last), last
    assert "qrank: interrupted after 0 reranked candidates" in last
