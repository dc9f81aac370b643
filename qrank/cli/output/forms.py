"""The form in which an answer is printed: for people, or one of those for programs."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from qrank import json_form
from qrank.cli.output.template import Template
from qrank.cli.output.view import SHORT, View
from qrank.cli.state import current
from qrank.errors import InputError
from qrank.results import Answer

if TYPE_CHECKING:
    from qrank.api import Index
    from qrank.indexes import Indexes


CSV_FIELDS = (  # of a result, unless --fields names others
    *("rank", "score", "path", "start_line", "end_line", "page", "title", "heading", "text"),
)


class Form(Enum):
    """The forms of output."""

    people = auto()
    json = auto()
    jsonl = auto()
    paths = auto()
    count = auto()
    template = auto()
    csv = auto()


class Output(NamedTuple):
    """The form of output, and its options."""

    form: Form = Form.people
    view: View = SHORT
    template: Template | None = None
    fields: tuple[str, ...] = ()
    max_tokens: int | None = None
    end: str = "\n"
    counted: int | None = None  # with Form.count: so many results are printed as "N or more"

    @property
    def per_file(self) -> int | None:
        """The --per-file limit that the form implies."""
        return 1 if self.form is Form.paths else None

    def show(self, answer: Answer, index: Index | Indexes) -> bool:
        """Print an answer; returns whether there were results to print."""
        if self.max_tokens is not None:
            return self._show_packed(answer, self.max_tokens)
        if self.form is Form.people:
            from qrank.cli.output import text_output

            text_output.answer(answer, self.view, self.terms(answer, index) or {})
            return bool(answer.results)
        from qrank.cli.output import json_output, render

        if self.form is Form.json:
            terms = self.terms(answer, index)
            json_output.document(json_form.answer(answer, self.fields, terms))
        elif self.form is Form.jsonl:
            for shown in json_form.results(answer, self.fields, self.terms(answer, index)):
                json_output.line(shown)
        elif self.form is Form.csv:
            json_output.table(json_form.results(answer, self.fields or CSV_FIELDS))
        elif self.form is Form.count:
            count = len(answer.results)
            # With vectors every chunk is a result, so they are only counted up to a limit.
            more = self.counted is not None and count >= self.counted
            json_output.text(f"{count} or more" if more else str(count), self.end)
        elif self.template:
            for result in answer.results:
                json_output.text(self.template(result, answer.terms), self.end)
        else:
            for result in answer.results:
                json_output.path(render.short_path(result.location), self.end)
        return bool(answer.results)

    def terms(self, answer: Answer, index: Index | Indexes) -> dict[str, dict[str, float]] | None:
        """With --explain, the contribution of each term to each result's BM25 score, else None."""
        return index.bm25_terms(answer) if self.view.explain else None

    def _show_packed(self, answer: Answer, max_tokens: int) -> bool:
        from qrank import standalone
        from qrank.cli.output import json_output, render

        packed = standalone.pack(answer.query, answer.results, max_tokens)
        if self.form is Form.json:
            json_output.document(json_form.packed(packed))
        elif self.form is Form.jsonl:
            for chunk in packed.chunks:
                json_output.line(json_form.packed_chunk(chunk))
        else:
            json_output.packed_text(packed)
        if answer.results and not packed.chunks:
            render.warning(
                f"no chunk fits into {max_tokens} tokens (--max-tokens); the best one, with its "
                f"location, takes {packed.best}"
            )
        return bool(packed.chunks)


def output(
    *,
    as_json: bool = False,
    as_jsonl: bool = False,
    as_csv: bool = False,
    paths_only: bool = False,
    null: bool = False,
    count: bool = False,
    template: str | None = None,
    fields: str | None = None,
    max_tokens: int | None = None,
    around: int | None = None,
    full: bool = False,
    explain: bool = False,
    hyperlinks: str | None = None,
) -> Output:
    """The output that a command's options ask for. Raises InputError for options that can't be
    combined."""
    options = {
        "--json": (as_json, Form.json),
        "--jsonl": (as_jsonl, Form.jsonl),
        "--csv": (as_csv, Form.csv),
        "-l": (paths_only, Form.paths),
        "--count": (count, Form.count),
        "--format": (template is not None, Form.template),
    }
    chosen = [name for name, (flag, _) in options.items() if flag]
    if len(chosen) > 1:
        raise InputError(f"{chosen[0]} and {chosen[1]} can't be combined", hint="choose one")
    form = options[chosen[0]][1] if chosen else Form.people
    if null and form is Form.people and max_tokens is None:
        form = Form.paths
    if fields is not None and form is Form.people:
        form = Form.jsonl
    for option, given, forms in (
        ("-0", null, (Form.paths, Form.template)),
        ("--fields", fields is not None, (Form.json, Form.jsonl, Form.csv)),
        ("--max-tokens", max_tokens is not None, (Form.people, Form.json, Form.jsonl)),
        ("-C", around is not None, (Form.people,)),
        ("--full", full, (Form.people,)),
        ("--explain", explain, (Form.people, Form.json, Form.jsonl)),
    ):
        if given and form not in forms:
            raise InputError(f"{option} can't be combined with {chosen[0] if chosen else '-0'}")
    if max_tokens is not None:
        whole = {"--fields": fields is not None, "-C": around is not None, "--full": full}
        for option in (option for option, given in whole.items() if given):
            raise InputError(f"{option} can't be combined with --max-tokens")
    if around is not None and full:
        raise InputError("-C and --full can't be combined", hint="choose one")
    return Output(
        form=form,
        view=View(around, full, explain, _link_format(hyperlinks)),
        template=Template(template, current().folder) if template is not None else None,
        fields=_checked_fields(fields),
        max_tokens=max_tokens,
        end="\0" if null else "\n",
    )


def _link_format(flag: str | None) -> str:
    from qrank.cli.output.hyperlinks import checked

    return checked(current().settings.get("hyperlink_format", flag, "none") or "none")


def _checked_fields(names: str | None) -> tuple[str, ...]:
    if names is None:
        return ()
    all_fields = json_form.RESULT_FIELDS
    fields = tuple(name.strip() for name in names.split(",") if name.strip())
    for name in fields:
        if name not in all_fields:
            raise InputError(
                f"--fields: a result has no field {name!r}",
                hint=f"use some of: {', '.join(all_fields)}",
            )
    if not fields:
        raise InputError("--fields is empty", hint=f"use some of: {', '.join(all_fields)}")
    return fields
