"""Manual pages (roff with the macros of man or mdoc): text under its sections, with line numbers of
the source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from qrank.errors import NoTextError
from qrank.ingest.decode import decode
from qrank.ingest.extract.building import Builder
from qrank.ingest.extract.markup import mdoc
from qrank.ingest.extract.markup.roff_text import RoffText
from qrank.results import Document

_COMMENT = re.compile(r"((?:\\[^\"#]|[^\\])*+)\\[\"#].*", re.DOTALL)
_CONTROL = re.compile(r"[.'][ \t]*([^\s\\]*)[ \t]*(.*)", re.DOTALL)
_ARGUMENT = re.compile(r'"((?:[^"]|"")*+)"?|((?:\\[^"]|[^ \t\\]|\\(?=")|\\\Z)++)')
_REGISTER = re.compile(r"\\n(?:\((..)|\[([^\]]{0,50})\]|(.))")
_COMPARISON = re.compile(r"'([^']*)'([^']*)'|\"([^\"]*)\"([^\"]*)\"")
_INTEGER = re.compile(r"[-+]?\d{1,9}")
_BRACES = re.compile(r"\\[\\{}]")
_TAB = re.compile(r"tab[ \t]*\([ \t]*(.)[ \t]*\)")
# Requests and macros without text for readers in their arguments.
_NO_TEXT = frozenset(
    "ad af ai aln als am asciify backtrace bd blm box bp brp c2 cc ce cf char chop cp cs cu cuts "
    "da di do dt ec ecr eo ev evc ex fam fc fi fl fp fschar ft ftr fzoom gcolor hc hcode hla hlm "
    "hpf hw hy hym hys in it itc kern lc lf lg linetabs ll ls lsm lt mc mk mso na ne nf nh nm nn "
    "nop nr nroff ns nx open opena os pc pev pi pl pm pn pnr po ps psbb pso ptr pvs rchar rd "
    "rfschar rj rm rn rnn rr rs rt schar shc shift sizes so sp special spreadwarn ss sty substring "
    "sv sy ta tc ti tkf tl tm tm1 tmc tr trf trin trnt troff uf ul unformat vpt vs warn warnscale "
    "wh while write writec PD DT AT UC IX LP PP P RS RE HP EX EE UE ME YS SY TP TQ LINKSTYLE "
    "fcolor defcolor color length pdfhref".split()
)
_BREAKS = frozenset("LP PP P HP sp RS RE EX EE YS nf fi Pp Lp Bd Ed Bl El bp Ex Rv TQ".split())
_FONTS = frozenset("B I SM SB R CW".split())
_ALTERNATING = frozenset("BI BR IB IR RB RI CB BC".split())
_OWN_LINE = frozenset("Dl D1 Fd Ft Vt".split())
_IGNORED_MDOC = frozenset("Dd Os Bl El Bd Ed Pp Lp Rs Re Sm Bk Ek Tg Db".split())
_EMPTY_CELLS = frozenset(("T{", "T}", "", "_", "=", "\\^", "\\_"))
MAX_DEPTH = 100  # of nested conditions


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the page; its title is `name(section)`.

    Raises NoTextError for a page that only includes another.
    """
    page = _Page()
    page.read(decode(file.read())[0])
    document = page.document()
    if page.includes and not document.blocks:
        raise NoTextError(f"a link to {page.includes}")
    yield document


class _Page:
    """Converts the lines of a page."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._roff = RoffText()
        self._registers: dict[str, int] = {".g": 1}
        self._macros: dict[str, bool] = {}  # defined by the page: whether arguments are text
        self._lines: list[str] = []  # of the current paragraph
        self._numbers: list[int] = []
        self._number = 0
        self._continues = False  # the next text belongs to the last line
        self._heading = 0  # the next text is a heading of this level, if not 0
        self._else: list[bool] = []  # whether the next `.el` holds
        self._mdoc = False
        self._name = ""
        self._address = ""
        self._table = ""  # the separator of cells, while in a table
        self._in_format = False  # in the format specification of a table
        self._title = ""
        self._fields: dict[str, object] = {}
        self.includes = ""

    def document(self) -> Document:
        self._flush()
        return self._builder.document(self._title or self._name, self._fields)

    def read(self, text: str) -> None:
        lines = _joined(text)
        for number, line in lines:
            self._number = number
            if match := _CONTROL.match(line):
                name = match[1]
                if name in ("de", "de1", "dei", "am", "ig"):
                    self._definition(name, match[2], lines)
                    continue
                if self._control(name, match[2], 0):
                    continue
                self._skip(line, lines)
            elif self._table:
                self._row(line)
            else:
                self._text(line)

    def _definition(self, name: str, rest: str, lines: Iterator[tuple[int, str]]) -> None:
        """Skip the body of a macro definition, or an ignored block."""
        words = rest.split()
        end = words[1 - (name == "ig")] if len(words) > 1 - (name == "ig") else "."
        body = []
        for _, line in lines:
            match = _CONTROL.match(line)
            if match and match[1] == end:
                break
            body.append(line)
        if name.startswith("de") and words:
            self._macros[words[0]] = any(map(_prints_argument, body))

    def _skip(self, line: str, lines: Iterator[tuple[int, str]]) -> None:
        """Skip the block in braces of a condition that is false."""
        depth = _depth(line)
        while depth > 0:
            next_line = next(lines, None)
            if next_line is None:
                return
            depth += _depth(next_line[1])

    def _control(self, name: str, rest: str, depth: int) -> bool:
        """Process a request or a macro; False when its block in braces is to be skipped."""
        if name in ("if", "ie", "el", "while"):
            return self._condition(name, rest, depth)
        if name in ("ds", "ds1", "as", "as1"):
            key, _, value = rest.partition(" ")
            value = value.lstrip(" ").removeprefix('"')
            self._roff.define(key, value, append=name.startswith("as"))
        elif name == "nr":
            self._set_register(rest)
        elif name == "so":
            self.includes = rest.strip()
        elif name in ("Dd", "Dt"):
            self._mdoc = True
            if name == "Dt":
                self._set_title(self._arguments(rest))
            else:
                self._fields["date"] = self._roff.plain(rest).strip()
        elif name == "TH":
            self._set_title(self._arguments(rest))
        elif name == "TS":
            self._flush()
            self._table, self._in_format = "\t", True
        elif name == "TE":
            self._table, self._in_format = "", False
            self._flush()
        elif name == "T&":
            self._in_format = bool(self._table)
        elif self._mdoc:
            self._mdoc_macro(name, rest)
        else:
            self._man_macro(name, rest)
        return True

    def _condition(self, name: str, rest: str, depth: int) -> bool:
        if name == "el":
            holds = self._else.pop() if self._else else False
            rest = rest.lstrip(" \t")
        else:
            holds, rest = self._holds(rest)
            if name == "ie" and len(self._else) < MAX_DEPTH:
                self._else.append(not holds)
        if not holds or name == "while":
            return False
        rest = rest.removeprefix("\\{").removeprefix("\\\n")
        if match := _CONTROL.match(rest):
            return depth >= MAX_DEPTH or self._control(match[1], match[2], depth + 1)
        if rest.strip() and not rest.startswith("\\}"):
            self._text(rest)
        return True

    def _holds(self, rest: str) -> tuple[bool, str]:
        """(whether a condition is true for output on a terminal, the text after it)."""
        negated = rest.startswith("!")
        rest = rest.lstrip("!")
        if comparison := _COMPARISON.match(rest):
            left, right = (
                self._roff.plain(side) for side in comparison.groups() if side is not None
            )
            holds, end = left == right, comparison.end()
        else:
            end = len(re.match(r"[^ \t]*?(?=\\\{|[ \t]|\Z)", rest)[0])  # type: ignore[index]
            condition = rest[:end]
            holds = condition[:1] == "n" or self._positive(condition)
            if (
                condition[:1] in ("d", "r", "c", "m", "F", "S") and not condition[1:]
            ):  # is something known?
                name = re.match(r"[ \t]*([^\s\\]*)", rest[1:])
                end = 1 + (name.end() if name else 0)
                holds = False
        return holds != negated, rest[end:].lstrip(" \t")

    def _positive(self, expression: str) -> bool:
        """Whether an expression is greater than 0. Supports what pages use: a number, a register,
        or a comparison of two."""
        expression = _REGISTER.sub(self._register, expression).strip("()")
        for sign in (">=", "<=", "==", "=", ">", "<"):
            left, operator, right = expression.partition(sign)
            if operator and _INTEGER.fullmatch(left) and _INTEGER.fullmatch(right):
                a, b = int(left), int(right)
                return {">=": a >= b, "<=": a <= b, ">": a > b, "<": a < b}.get(sign, a == b)
        return bool(_INTEGER.fullmatch(expression)) and int(expression) > 0

    def _register(self, match: re.Match[str]) -> str:
        return str(self._registers.get(match[1] or match[2] or match[3] or "", 0))

    def _set_register(self, rest: str) -> None:
        words = rest.split()
        if len(words) > 1 and _INTEGER.fullmatch(value := _REGISTER.sub(self._register, words[1])):
            self._registers[words[0]] = int(value)

    def _set_title(self, words: Sequence[str]) -> None:
        """Set the title and fields, from the arguments of .TH or .Dt: name, section, date, …"""
        name, section, *more = [*words, "", ""]
        self._title = f"{name}({section})" if section else name
        if not self._mdoc:
            fields = dict(zip(("date", "source", "manual"), more, strict=False))
            self._fields |= {key: value for key, value in fields.items() if value}
        if section:
            self._fields["section"] = section

    def _man_macro(self, name: str, rest: str) -> None:
        if name in ("SH", "SS"):
            self._set_heading(1 + (name == "SS"), " ".join(self._arguments(rest)))
        elif name in _ALTERNATING:
            self._put("".join(self._arguments(rest)))
        elif name in _FONTS:
            self._put(" ".join(self._arguments(rest)))
        elif name == "TP":
            self._flush()
        elif name == "IP":
            self._flush()
            if tag := "".join(self._arguments(rest)[:1]):
                self._put(tag)
                self._join(tag)
        elif name == "SY":
            self._flush()
            self._put(" ".join(self._arguments(rest)))
        elif name in ("UR", "MT"):
            self._address = "".join(self._arguments(rest)[:1])
        elif name in ("UE", "ME"):
            after = "".join(self._arguments(rest)[:1])
            self._put(f"<{self._address}>{after}")
        elif name == "OP":
            self._put(f"[{' '.join(self._arguments(rest))}]")
        elif name == "MR":
            words = [*self._arguments(rest), "", "", ""]
            self._put(f"{words[0]}({words[1]}){words[2]}")
        elif name == "br":
            pass
        elif name in self._macros:
            if self._macros[name]:
                self._put(" ".join(self._arguments(rest)))
        elif name in _BREAKS:
            self._flush()
        elif name not in _NO_TEXT:
            self._put(" ".join(self._arguments(rest)))

    def _mdoc_macro(self, name: str, rest: str) -> None:
        words = _split(rest)
        if name in ("Sh", "Ss"):
            text = self._mdoc_line("No", words)
            self._set_heading(1 + (name == "Ss"), text)
        elif name == "It":
            self._flush()
            self._put(self._mdoc_line("No", words))
        elif name in _IGNORED_MDOC:
            if name in _BREAKS:
                self._flush()
        elif name == "Nm" and words and words[0] not in mdoc.MACROS:
            self._name = self._name or self._roff.plain(words[0])
            self._put(self._mdoc_line("Nm", words))
        elif name == "Nd":
            self._put("– " + self._mdoc_line("No", words))
        elif name.startswith("%"):
            self._put(self._mdoc_line("No", words))
        elif name in mdoc.MACROS or name in _OWN_LINE:
            self._put(self._mdoc_line(name if name in mdoc.MACROS else "No", words))
        elif name not in _NO_TEXT and name not in _BREAKS and name != "br":
            self._put(self._mdoc_line("No", words))
        elif name in _BREAKS:
            self._flush()

    def _mdoc_line(self, macro: str, words: Sequence[str]) -> str:
        return mdoc.Line(self._name, self._roff.plain).text(macro, words)

    def _arguments(self, rest: str) -> list[str]:
        return [self._roff.plain(word) for word in _split(rest)]

    def _set_heading(self, level: int, text: str) -> None:
        self._flush()
        if text.strip():
            self._builder.heading(level, text, self._number)
        else:
            self._heading = level

    def _text(self, line: str) -> None:
        """Add a line of text; a blank one ends the paragraph."""
        if not line.strip():
            self._flush()
            return
        continues = line.endswith("\\c")
        self._put(self._roff.plain(line), continues=continues)

    def _row(self, line: str) -> None:
        """Add a line of a table, or read one of its format."""
        if self._in_format:
            if separator := _TAB.search(line):
                self._table = separator[1]
            self._in_format = not line.rstrip().endswith(".")
            return
        if line.strip(" _=\t" + self._table):
            cells = [cell.strip() for cell in line.split(self._table)]
            texts = [self._roff.plain(cell) for cell in cells if cell not in _EMPTY_CELLS]
            self._put(" | ".join(text for text in texts if text))

    def _put(self, text: str, *, continues: bool = False) -> None:
        """Add a line to the paragraph; continues: the next text belongs to it."""
        text = text if continues else text.rstrip()
        if not text.strip():
            return
        if self._heading:
            level, self._heading = self._heading, 0
            self._builder.heading(level, text, self._number)
        elif self._continues and self._lines:
            self._lines[-1] += text
        else:
            self._lines.append(text)
            self._numbers.append(self._number)
        self._continues = continues

    def _join(self, tag: str) -> None:
        """Put the following text beside a short tag."""
        if self._lines and len(tag) < 4:
            self._lines[-1] += " "
            self._continues = True

    def _flush(self) -> None:
        if self._lines:
            self._builder.paragraph("\n".join(self._lines), lines=self._numbers)
        self._lines, self._numbers = [], []
        self._continues = False


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line) without comments; lines that end with a backslash are joined with the
    next."""
    pending: list[str] = []
    start = 0
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if "\\" in line and (comment := _COMMENT.match(line)):
            line = comment[1]
            if line in (".", "'", ".\t", ". "):
                continue
        elif line.endswith("\\") and not line.endswith("\\\\"):
            start = start or number
            pending.append(line[:-1])
            continue
        if pending:
            yield start, "".join([*pending, line])
            pending, start = [], 0
        elif not line.startswith("'''"):
            yield number, line
    if pending:
        yield start, "".join(pending)


def _split(rest: str) -> list[str]:
    """The arguments of a macro; in quotes, they may contain spaces.

    >>> _split('a "b ""c"" d" e')
    ['a', 'b "c" d', 'e']
    """
    return [
        match[2] if match[2] is not None else match[1].replace('""', '"')
        for match in _ARGUMENT.finditer(rest)
    ]


def _prints_argument(line: str) -> bool:
    """Whether a line of a macro's body prints an argument."""
    match = _CONTROL.match(line)
    return "\\$" in line and (not match or match[1] in _FONTS | _ALTERNATING | {"SH", "SS", "IP"})


def _depth(line: str) -> int:
    """The number of opening braces of conditions in a line, minus that of closing ones."""
    return sum({"\\{": 1, "\\}": -1}.get(match[0], 0) for match in _BRACES.finditer(line))
