"""The screen of the interactive search: the query above, results and the selected chunk below."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from qrank.api import Index
from qrank.cli.interactive.searcher import Searcher
from qrank.cli.output.escape import escape_line
from qrank.cli.output.render import significant
from qrank.cli.output.snippet import best_place, whole
from qrank.cli.output.text_output import marked, stale_note
from qrank.cli.output.view import with_place
from qrank.cli.shell import editor
from qrank.cli.state import Run
from qrank.errors import QrankError
from qrank.markup import readable
from qrank.names import path_from
from qrank.results import Answer, Result

STAGES = {"words": "words", "meaning": "words and meaning", "reranked": "reranked"}


class NewResults(Message):
    """The search thread has an answer or an error."""

    def __init__(self, answer: Answer | Exception, stage: str, note: str) -> None:
        super().__init__()
        self.answer, self.stage, self.note = answer, stage, note


class Screen(App[None]):
    """The app. Keys go to the query; up and down move the selection."""

    CSS = """
    Input { border: none; height: 1; margin: 0 1; padding: 0; }
    #status { height: 1; padding: 0 1; color: $text-muted; }
    #below { height: 1fr; layout: horizontal; }
    OptionList { width: 2fr; height: 1fr; border: none; }
    OptionList { text-wrap: nowrap; text-overflow: ellipsis; }
    #results > .option-list--option-highlighted {
        color: $block-cursor-foreground; background: $block-cursor-background;
    }
    VerticalScroll { width: 3fr; height: 1fr; padding: 0 1; }
    .-narrow #below { layout: vertical; }
    .-narrow OptionList, .-narrow VerticalScroll { width: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  (as App has it)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Next", priority=True, show=False),
        Binding("up", "move(-1)", "Previous", priority=True, show=False),
        Binding("pagedown", "scroll(1)", "Read on", priority=True),
        Binding("pageup", "scroll(-1)", "Back", priority=True, show=False),
        Binding("enter", "open", "Open in editor", priority=True),
        Binding("escape,ctrl+c", "quit", "Quit", priority=True),
    ]

    def __init__(
        self,
        index: Index,
        query: str,
        collections: Sequence[str],
        path: Sequence[str],
        run: Run,
    ) -> None:
        super().__init__()
        self._cli_run = run
        self._first_query = query
        self._results: list[Result] = []
        self._shown: Result | None = None  # whose chunk is shown
        self._terms: list[str] = []
        self._problem = ""  # why a result could not be opened; shown until the query changes
        self._searcher = Searcher(
            index, collections, path, lambda *parts: self.post_message(NewResults(*parts))
        )

    def compose(self) -> ComposeResult:
        """The widgets, from top to bottom."""
        # Not looked up when a message comes: one may come while the screen is being closed.
        self._input = Input(self._first_query, placeholder="Search…", id="query", compact=True)
        self._status = Static(id="status", markup=False)
        self._list = OptionList(id="results", markup=False)
        self._list.can_focus = False
        self._chunk = Static(id="chunk", markup=False)
        self._preview = VerticalScroll(self._chunk, can_focus=False)
        yield self._input
        yield self._status
        yield Container(self._list, self._preview, id="below")
        yield Footer()

    def on_mount(self) -> None:
        """Start with the query of the command line."""
        # The terminal's own colors; without color, textual's would be black on black.
        self.theme = "textual-dark" if self.no_color else "ansi-dark"
        self._input.focus()

    def on_unmount(self) -> None:
        """End the search thread."""
        self._searcher.close()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search for the new query."""
        self._problem = ""
        if event.value.strip():
            self._searcher.search(event.value)
        else:
            self._show([], [])
            self._notice("")

    def on_new_results(self, message: NewResults) -> None:
        """Show an answer, unless the query is empty now."""
        answer = message.answer
        if isinstance(answer, QrankError):
            self._show([], [])
            self._notice(str(answer))
        elif isinstance(answer, Exception):
            raise answer
        elif self._input.value.strip():
            self._show(answer.results, answer.terms)
            text = message.note or "nothing found"
            if answer.results:
                ms = f"{answer.timings_ms['total']:.0f} ms"
                text = f"{len(answer.results)} results · {STAGES[message.stage]} · {ms}"
                text += f" · {message.note}" if message.note else ""
            self._notice(self._problem or text)

    def search(self) -> None:
        """Run until the user quits. Exceptions are raised, not shown as a traceback by textual."""
        self.run()
        if self._exception:
            raise self._exception

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()

    def _notice(self, text: str) -> None:
        self._status.update(escape_line(text), layout=False)  # always a line

    def _show(self, results: list[Result], terms: list[str]) -> None:
        """Fill the list; a result that the user selected stays selected if it is still there."""
        result = self._selected()
        selected = result.id if result and self._list.highlighted else None
        self._results, self._terms = results, terms
        self._list.clear_options()
        self._list.add_options([Option(_entry(each, self._cli_run.folder)) for each in results])
        ids = [each.id for each in results]
        self._list.highlighted = (ids.index(selected) if selected in ids else 0) if ids else None
        self._show_selected()

    def _selected(self) -> Result | None:
        at = self._list.highlighted
        return self._results[at] if at is not None and at < len(self._results) else None

    def on_option_list_option_highlighted(self, _event: OptionList.OptionHighlighted) -> None:
        """Another result was selected."""
        self._show_selected()

    def on_option_list_option_selected(self, _event: OptionList.OptionSelected) -> None:
        """A result was clicked."""
        self.action_open()

    def _show_selected(self) -> None:
        result = self._selected()
        if result is self._shown:  # the list also sends an event when _show selects a result
            return
        self._shown = result
        text = Text()
        if result:
            path = path_from(result.location, self._cli_run.folder)
            place = with_place(path, result.start_line, None, result.page)
            text.append(f"{escape_line(place)}\n", "bold green")
            if result.stale is not False:
                text.append(f"{stale_note(result)}\n", "yellow")
            if result.heading:
                text.append(f"{escape_line(result.heading)}\n", "dim")
            for line in whole(readable(result.text, result.location), self._terms):
                text.append("\n").append_text(Text.assemble(*marked(line)))
        self._chunk.update(text)
        self._preview.scroll_home(animate=False)

    def action_move(self, by: int) -> None:
        """Move the selection down by so many results."""
        if self._results:
            at = (self._list.highlighted or 0) + by
            self._list.highlighted = max(0, min(at, len(self._results) - 1))

    def action_scroll(self, by: int) -> None:
        """Scroll the chunk by so many pages."""
        lines = max(1, self._preview.size.height - 1)
        self._preview.scroll_relative(y=by * lines, animate=False)

    def action_open(self) -> None:
        """Open the selected result in the editor, which gets the terminal meanwhile."""
        result = self._selected()
        if result is None:
            return
        line, column = best_place(result, self._terms)
        self._problem = ""
        try:
            place = editor.place(f"{result.location}:{line}:{column}", self._cli_run)
            place = place._replace(page=result.page)
            with self.suspend():
                editor.edit(place, self._cli_run)
        except QrankError as error:
            self._problem = str(error)
            self._notice(self._problem)


def _entry(result: Result, working_folder: str | None) -> Content:
    """A result in the list: its score, location and heading."""
    folder, name = os.path.split(path_from(result.path, working_folder))
    within = with_place(name, result.start_line, None, result.page).removeprefix(name)
    return Content.assemble(
        (f"{significant(result.score)} ", "ansi_cyan"),
        (escape_line(name), "bold"),
        within,
        (f"  {escape_line(folder)}" if folder else "", "dim"),
        "\n     ",
        (escape_line(result.heading or " ".join(result.text.split())[:80]), "dim"),
    )
