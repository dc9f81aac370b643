"""The interactive search: through textual's own driver, and the command on a real terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import model_server
import pexpect
import pytest
from support import COMMAND, ROOT, Run, complaint
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from qrank import Index
from qrank.cli import app
from qrank.cli.app import root
from qrank.cli.interactive.screen import NewResults, Screen
from qrank.cli.state import Run as CommandRun

Qrank = Callable[..., Run]


def drive(
    db: Path,
    query: str,
    steps: Callable[[Screen, Pilot[None]], Awaitable[None]],
    rerank_model: str | None = None,
) -> None:
    """Run the app without a terminal, and steps in it."""

    async def run() -> None:
        screen = Screen(
            Index(db, rerank_model=rerank_model), query, (), None, CommandRun(root, app.run)
        )
        async with screen.run_test(size=(120, 30)) as pilot:
            await steps(screen, pilot)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true; fails after two minutes."""
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.02)


def shown(screen: Screen, name: str) -> str:
    return str(screen.query_one(f"#{name}", Static).render())


def entries(screen: Screen) -> list[str]:
    return [str(option.prompt) for option in screen.query_one(OptionList).options]


def test_a_stale_result_says_so(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("Green tea.\n", "utf-8")
    assert qrank("index", "tea.md", "--no-embed", "--db", "i.db").returncode == 0

    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await until(lambda: "Green tea" in shown(screen, "chunk"))
        assert "since indexed" not in shown(screen, "chunk")
        (tmp_path / "tea.md").write_text("Black tea.\n", "utf-8")
        await pilot.press("space", "t", "e", "a")
        await until(lambda: "changed since indexed" in shown(screen, "chunk"))

    drive(tmp_path / "i.db", "green", steps)


def test_a_format_with_pages_shows_pages(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "water.pdf").write_bytes((ROOT / "tests" / "files" / "water.pdf").read_bytes())
    assert qrank("index", "water.pdf", "--no-embed", "--db", "i.db").returncode == 0

    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await until(lambda: "water.pdf#page=1\n" in shown(screen, "chunk"))
        assert "water.pdf#page=1" in entries(screen)[0]

    drive(tmp_path / "i.db", "chapel", steps)


def test_messages_that_come_while_it_closes_are_no_error(sample_db: Path) -> None:
    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await until(lambda: len(entries(screen)) > 1)
        results = screen.query_one(OptionList)
        await screen.screen.query("*").remove()
        results.highlighted = 1
        screen.on_option_list_option_highlighted(
            OptionList.OptionHighlighted(results, results.options[1], 1)
        )
        screen.action_scroll(1)

    drive(sample_db, "sourdough", steps)


def test_results_come_as_one_types(sample_db: Path) -> None:
    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await pilot.press(*"sourdou")  # no whole word yet
        await until(lambda: any("sourdough-starter.md" in entry for entry in entries(screen)))
        await until(lambda: "reranked" in shown(screen, "status"))
        assert "sourdough-starter.md" in entries(screen)[0]
        assert "howto/sourdough-starter.md:" in shown(screen, "chunk")
        first = shown(screen, "chunk")
        await pilot.press("down")
        await until(lambda: shown(screen, "chunk") != first)
        rows = screen.query_one(OptionList)
        colours = [
            {piece.style.bgcolor for piece in rows.render_line(y) if piece.style} for y in (0, 2)
        ]
        assert colours[0] != colours[1]  # the chosen one can be told from the others
        await pilot.press("up", "up", "pagedown")
        await until(lambda: shown(screen, "chunk") == first)
        screen.query_one(Input).value = ""
        await until(lambda: not entries(screen))
        assert (shown(screen, "status"), shown(screen, "chunk")) == ("", "")
        await pilot.press("enter", "down")  # with nothing to open or to choose
        await pilot.press(*"zzzyx")
        await until(lambda: "results" in shown(screen, "status"))  # by their meaning

    drive(sample_db, "", steps)


def test_the_newest_query_wins(sample_db: Path) -> None:
    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await until(server.holding.is_set)  # the first is being reranked when the second comes
        screen.query_one(Input).value = "postgres failover"
        server.answers = None
        server.go_on.set()
        await until(lambda: "postgres-failover.md" in (entries(screen) or [""])[0])
        await until(lambda: "reranked" in shown(screen, "status"))
        assert "postgres-failover.md" in entries(screen)[0]

    with model_server.running(answers=1) as server:  # to what it is asked at first
        drive(sample_db, "what would a gardener do against slugs", steps, server.url)


def test_what_goes_wrong_is_said(tmp_path: Path, qrank: Qrank) -> None:
    (tmp_path / "a.md").write_text("green tea\n", "utf-8")
    qrank("index", "a.md", "--no-embed", "--db", "i.db")

    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await until(lambda: bool(entries(screen)))
        (tmp_path / "a.md").unlink()
        await pilot.press("enter")
        await until(lambda: "there is no file" in shown(screen, "status"))
        with Index(tmp_path / "i.db") as index:
            later = index.search("tea", mode="bm25")
        screen.post_message(NewResults(later, "reranked", ""))
        await pilot.pause()
        assert "there is no file" in shown(screen, "status")
        screen.query_one(Input).value = "green"
        await until(lambda: "results ·" in shown(screen, "status"))

    drive(tmp_path / "i.db", "tea", steps)


def test_it_says_why_there_is_little_or_nothing(sample_db: Path) -> None:
    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await until(lambda: "no result contains a word of the query" in shown(screen, "status"))
        assert entries(screen)
        screen.query_one(Input).value = "-tea"
        await until(lambda: "only excludes words" in shown(screen, "status"))
        assert not entries(screen)
        screen.query_one(Input).value = '"car tides"'
        await until(lambda: shown(screen, "status") == 'nothing matches all of: "car tides"')

    drive(sample_db, "zzzq", steps)


def test_text_is_shown_never_obeyed(tmp_path: Path, qrank: Qrank) -> None:
    evil = "\x1b]0;own\x07 [bold]tea[/bold] [@click=app.quit]x[/] \u202e"
    (tmp_path / "a\x1b[31m.md").write_text(f"# {evil}\n\n{evil}\n", "utf-8")
    qrank("index", tmp_path, "--no-embed", "--db", "i.db")

    async def steps(screen: Screen, pilot: Pilot[None]) -> None:
        await until(lambda: bool(entries(screen)))
        for text in (*entries(screen), shown(screen, "chunk")):
            assert not set(text) & {"\x1b", "\x07", "\u202e"}
            assert "␛[31m" in text
            assert "[@click=app.quit]x[/]" in text

    drive(tmp_path / "i.db", "tea", steps)


def test_on_a_terminal_enter_opens_the_editor(
    sample_db: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    log = tmp_path / "opened"
    editor = tmp_path / "an editor"
    editor.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{log}"\n', "utf-8")
    editor.chmod(0o755)
    variables = environment | {"EDITOR": f"'{editor}'", "VISUAL": "", "TERM": "xterm-256color"}
    words = ["search", "-i", "nail varnish", "--db", str(sample_db)]
    run = pexpect.spawn(
        str(COMMAND), words, env=variables, timeout=120, dimensions=(24, 100), encoding="utf-8"
    )
    run.expect("sourdough-starter.md")
    run.expect("meaning")
    run.send("\r")
    while not log.exists():
        assert run.isalive()
        run.expect([pexpect.TIMEOUT, ".+"], timeout=0.2)
    run.send("\x1b")
    run.expect(pexpect.EOF)
    run.close()
    assert run.exitstatus == 0
    line, path = log.read_text("utf-8").splitlines()
    assert line.startswith("+")
    assert path.endswith("howto/sourdough-starter.md")


@pytest.mark.parametrize("words", [["tui"], ["search", "-i"]])
def test_without_a_terminal_it_says_so(qrank: Qrank, sample_db: Path, words: list[str]) -> None:
    assert "needs a terminal" in complaint(qrank(*words, "--db", sample_db))
