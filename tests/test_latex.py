"""LaTeX: places in the file, and the words that a reader of the paper sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, extract

from qrank.analysis.text import index_terms
from qrank.markup import readable

PAPER = r"""% !TEX program = pdflatex
\documentclass[11pt,a4paper]{article}
\usepackage[utf8]{inputenc}
\title[Short]{Trembling of \emph{free} electrons\thanks{Funded by nobody.}}
\author{E. Schr\"odinger\\ Universit\"at Z\"urich \and P. Dirac\thanks{At home}}
\date{May 1930}
\begin{document}
\maketitle
\begin{abstract}
The \emph{Zitter}bewegung of an electron, re\-con\-struc\-ted in a caf\'{e}. % a secret remark
\end{abstract}

\section{Gr\"undung\label{sec:start}}
The well\footnote{A deep one.} lies behind the chapel~\cite{knuth84}.
\verb|\section{not one}| stays.

\begin{verbatim}
\section{In a listing}
100% of it
\end{verbatim}

\subsection*{Masse und Ma\ss e}
Here \textbf{un}clear words meet.

\section[Two]{Second section}
Last words.
\end{document}
"""


def test_sections_are_headings_and_the_text_is_the_file_s(tmp_path: Path) -> None:
    document = extract("paper.tex", PAPER.encode())
    assert document.text == PAPER
    assert document.title == "Trembling of free electrons"
    assert document.fields == {"author": ["E. Schrödinger", "P. Dirac"], "date": "May 1930"}
    headings = dict.fromkeys(block.heading for block in document.blocks)
    assert list(headings) == [
        (),
        ("Abstract",),
        ("Gründung",),
        ("Gründung", "Masse und Maße"),
        ("Second section",),
    ]


def test_words_are_found_as_anybody_types_them(qrank: Callable[..., Run], tmp_path: Path) -> None:
    path = tmp_path / "paper.tex"
    path.write_text(PAPER, "utf-8")
    qrank("index", str(path), "--no-embed")

    def found(query: str) -> list[dict[str, object]]:
        return qrank("search", query, "--mode", "bm25", "--jsonl").lines()

    for query in ("Schrödinger", "schrodinger", "Zitterbewegung", "reconstructed", "café", "cafe"):
        assert found(query), query
    assert not found("secret remark")
    assert not found("textbf")
    [result] = found("Zitterbewegung")
    data = path.read_bytes()
    assert data[result["start_byte"] : result["end_byte"]].decode() == result["text"]  # type: ignore[misc]
    assert r"\emph{Zitter}bewegung" in str(result["text"])
    shown = qrank("search", "Zitterbewegung", "--mode", "bm25").stdout
    assert "The Zitterbewegung of an electron, reconstructed in a café." in shown
    line = PAPER[: PAPER.index("Zitter}")].count("\n") + 1
    around = qrank("search", "Zitterbewegung", "--mode", "bm25", "-C", "0").stdout
    assert f"{line}:" in around
    assert r"\emph{Zitter}bewegung" in around


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (r"na\"{\i}ve na\"\i ve Erd\H{o}s Erd\H os", "naïve naïve Erdős Erdős"),
        (r"\c{C}a \c ca \v{S}koda \v Skoda", "Ça ça Škoda Škoda"),
        (r"Stra\ss e Stra\ss{}e {\AA}ngstr{\"o}m \L{}\'od\'z", "Straße Straße Ångström Łódź"),
        ('Universit"at Stra"se Auf"|lage "under"', "Universität Straße Auflage under"),
        (r"{\em Zitter}bewegung \textcolor{red}{col}or ef\/fect", "Zitterbewegung color effect"),
        ("super%\n   cali%  here\n% all of it\n  fragil", "supercali fragil"),
        (r"50\% off user\_id \$5 AT\&T", "50 off user_id 5 AT T"),
        (r"one\\two\\[2pt]three&four~five\quad six", "one two three four five six"),
        (r"well\footnote{deep}dry\caption{cap}tion", "well deep dry cap tion"),
        (r"\section{Alpha}Beta\item[foo]bar", "Alpha Beta foo bar"),
        (r"$\alpha$-stable, 5\,$\mu$m, $2\pi r$", "alpha stable 5 μm 2 pi r"),
        (r"$\frac{a}{b}$ \(\mathbb{R}^n\)", "a b R n"),
        (r"\verb|a%b| \verb+\emph+", "a b emph"),
        (r"\url{http://a.b/c%20d} \href{http://x}{a link}", "http a b c 20d http x a link"),
        (r"\includegraphics[width=2cm]{plots/old.pdf}", "plots old pdf"),
        (r"\begin{tabular}{lr}one&two\end{tabular}\begin{figure}[htbp]", "one two"),
        (r"\newcommand{\vect}[1]{bold #1}\vskip 1em Text", "1 bold Text"),
        (r"\setlength{\parindent}{2em}Text\hspace{1cm}apart", "Text apart"),
        (r"\iffalse hidden \fi\begin{comment}hid\end{comment} shown", "shown"),
        (r"\input{chapters/one}\LaTeX{} and \LaTeX\ too", "chapters one LaTeX and LaTeX too"),
    ],
)  # fmt: skip
def test_what_is_apart_stays_apart_and_what_is_joined_joined(source: str, words: str) -> None:
    read = readable(source, "a.tex")
    assert index_terms(read) == index_terms(words)
    assert read.count("\n") == source.count("\n")


def test_a_listing_is_taken_as_it_stands_also_from_its_middle() -> None:
    listing = '\\begin{lstlisting}[language=C]\nprintf("%d\\n"); % kept\n\\end{lstlisting}\n'
    assert 'printf("%d\\n"); % kept' in readable(listing, "a.tex")
    assert "% kept\n" in readable(listing.partition("\n")[2], "a.tex")


@pytest.mark.parametrize(
    "broken",
    [
        *(r"\section{never ends", r"\emph{", "{" * 5000, "}" * 5000, r"\begin{verbatim} a"),
        *("\\", r"\'", "%", r"\verb|", r"\iffalse", r"\title["),
    ],
)
def test_what_is_broken_is_read_as_far_as_it_goes(broken: str) -> None:
    text = f"\\section{{Start}}\nThe kestrel.\n\n{broken}"
    document = extract("a.tex", text.encode())
    assert document.text == text
    assert document.blocks[0].heading == ("Start",)
    assert "kestrel" in index_terms(readable(text, "a.tex"))


@pytest.mark.parametrize(
    ("name", "codec", "word"),
    [
        ("latin1", "cp1252", "Gründung"),
        ("latin2", "iso-8859-2", "żółć"),
        ("applemac", "mac-roman", "été"),
        ("cp1251", "cp1251", "чайка"),
        ("utf8", "utf-8", "Škoda"),
        ("latin1", "utf-8", "żółć"),  # a name that is wrong
    ],
)
def test_the_encoding_that_a_paper_names_is_used(name: str, codec: str, word: str) -> None:
    text = f"\\documentclass{{article}}\n\\usepackage[{name}]{{inputenc}}\nThe {word} here.\n"
    assert extract("a.tex", text.encode(codec)).text == text


def test_a_comment_joins_words_but_no_command_to_a_word() -> None:
    made = readable("\\section{Body Elements%\n  \\label{body-elements}%\n}\nwo%\n  rd", "a.tex")
    assert made.split() == ["Body", "Elements", "body-elements", "word"]
