"""Names of LaTeX's commands: what they print, and which of their arguments are no text."""

from __future__ import annotations

ACCENTS = {  # the sign after the backslash: a combining mark
    "`": "\u0300", "'": "\u0301", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304",
    ".": "\u0307",
}  # fmt: skip
LETTER_ACCENTS = {
    "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "d": "\u0323", "b": "\u0331",
    "r": "\u030a", "k": "\u0328", "t": "\u0361",
}  # fmt: skip
SYMBOLS = {  # letters, and words
    "ss": "ß", "SS": "SS", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø",
    "aa": "å", "AA": "Å", "l": "ł", "L": "Ł", "i": "ı", "j": "ȷ", "dh": "ð", "DH": "Ð", "th": "þ",
    "TH": "Þ", "dj": "đ", "DJ": "Đ", "ng": "ŋ", "NG": "Ŋ", "ij": "ij", "IJ": "IJ",
    "TeX": "TeX", "LaTeX": "LaTeX", "LaTeXe": "LaTeX2e", "BibTeX": "BibTeX", "XeTeX": "XeTeX",
    "XeLaTeX": "XeLaTeX", "LuaTeX": "LuaTeX", "LuaLaTeX": "LuaLaTeX", "pdfTeX": "pdfTeX",
    "pdfLaTeX": "pdfLaTeX", "ConTeXt": "ConTeXt", "METAFONT": "METAFONT", "AmS": "AmS",
    "textquotesingle": "'", "textquoteright": "’", "textunderscore": "_", "slash": "/",
    "textsuperscript": "", "textmu": "µ", "textohm": "Ω",
}  # fmt: skip
SIGNS = {
    "ldots": "…", "dots": "…", "cdots": "…", "textellipsis": "…", "dotsc": "…", "dotsb": "…",
    "textendash": "–", "textemdash": "—", "S": "§", "P": "¶", "dag": "†", "ddag": "‡",
    "copyright": "©", "textcopyright": "©", "textregistered": "®", "texttrademark": "™",
    "pounds": "£", "textsterling": "£", "euro": "€", "texteuro": "€", "EUR": "€", "textyen": "¥",
    "textdegree": "°", "degree": "°", "textbullet": "•", "textbackslash": "\\",
    "textasciitilde": "~", "textasciicircum": "^", "textbar": "|", "textless": "<",
    "textgreater": ">", "textdollar": "$", "textquotedblleft": "“", "textquotedblright": "”",
    "textquoteleft": "‘", "guillemotleft": "«", "guillemotright": "»", "og": "«", "fg": "»",
    "glqq": "„", "grqq": "“", "quotedblbase": "„", "textquestiondown": "¿", "textexclamdown": "¡",
    "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "neq": "≠", "ne": "≠", "approx": "≈",
    "equiv": "≡", "sim": "∼", "pm": "±", "mp": "∓", "times": "×", "cdot": "·", "div": "÷",
    "infty": "∞", "partial": "∂", "nabla": "∇", "in": "∈", "notin": "∉", "subset": "⊂",
    "subseteq": "⊆", "cup": "∪", "cap": "∩", "to": "→", "rightarrow": "→", "leftarrow": "←",
    "Rightarrow": "⇒", "Leftarrow": "⇐", "Leftrightarrow": "⇔", "mapsto": "↦", "forall": "∀",
    "exists": "∃", "emptyset": "∅", "propto": "∝", "ll": "≪", "gg": "≫", "circ": "∘",
    "otimes": "⊗", "oplus": "⊕", "wedge": "∧", "vee": "∨", "neg": "¬", "mid": "|", "star": "⋆",
    "dagger": "†", "hbar": "ħ", "ell": "ℓ", "Re": "ℜ", "Im": "ℑ", "aleph": "ℵ", "angle": "∠",
    "langle": "⟨", "rangle": "⟩", "prime": "′", "iff": "⇔", "implies": "⇒",
}  # fmt: skip
GREEK = {
    **dict(zip(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
        "sigma tau upsilon phi chi psi omega".split(),
        "αβγδεζηθικλμνξοπρστυφχψω", strict=True)),
    **dict(zip(
        "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split(),
        "ΓΔΘΛΞΠΣΥΦΨΩ", strict=True)),
    "varepsilon": "ε", "vartheta": "ϑ", "varphi": "φ", "varrho": "ϱ", "varsigma": "ς",
    "varpi": "ϖ",
}  # fmt: skip
OPERATORS = frozenset(
    "arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf "
    "limsup ln log max min Pr sec sin sinh sup tan tanh sum prod int iint oint mod bmod".split()
)
# Commands within words, and how many of their first arguments are no text.
FORMATTING = dict.fromkeys(
    "emph textbf textit textrm textsf texttt textsc textsl textup textmd textnormal textlf textsb "
    "text mbox hbox makebox fbox underline uline uuline sout xout st hl ul em it bf rm sf tt sc sl "
    "bfseries mdseries itshape slshape scshape upshape rmfamily sffamily ttfamily normalfont "
    "mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak mathscr boldsymbol bm ensuremath "
    "textnormal hat bar vec tilde dot ddot widehat widetilde overline protect relax allowbreak "
    "nobreak discretionary lowercase uppercase MakeUppercase MakeLowercase MakeTextUppercase "
    "tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge xspace nolinebreak "
    "textsubscript ce chem gls Gls glspl acs ac textgreek textlatin selectfont "
    "enquote smash phantom ignorespaces unskip hyp".split(),
    0,
) | {"textcolor": 1, "color": 1, "colorbox": 1, "foreignlanguage": 1, "fontsize": 2,
     "fontfamily": 1, "fontseries": 1, "fontshape": 1, "selectlanguage": 1, "raisebox": 1,
     "rotatebox": 1, "scalebox": 1, "texorpdfstring": 0}  # fmt: skip
# Other commands, and environments: how many of their first arguments are no text.
DROPPED = {
    "hspace": 1, "vspace": 1, "setlength": 2, "addtolength": 2, "settowidth": 2, "pagestyle": 1,
    "thispagestyle": 1, "pagenumbering": 1, "setcounter": 2, "addtocounter": 2, "stepcounter": 1,
    "refstepcounter": 1, "newcounter": 1, "newlength": 1, "newif": 0, "rule": 2, "includegraphics":
    0, "documentclass": 0, "documentstyle": 0, "usepackage": 0, "RequirePackage": 0,
    "bibliographystyle": 1, "graphicspath": 1, "definecolor": 3, "newcommand": 1, "renewcommand": 1,
    "providecommand": 1, "DeclareMathOperator": 1, "newenvironment": 1, "newtheorem": 1,
    "theoremstyle": 1, "newcolumntype": 1, "multicolumn": 2, "multirow": 2, "cline": 1,
    "cmidrule": 1, "enlargethispage": 1, "parbox": 1, "hypersetup": 1, "geometry": 1, "lstset": 1,
    "captionsetup": 1, "usetikzlibrary": 1, "tikzset": 1, "setmainfont": 0, "addcontentsline": 2,
    "numberwithin": 2, "linespread": 1, "resizebox": 2,
    # environments
    "tabular": 1, "tabularx": 2, "tabulary": 2, "longtable": 1, "array": 1, "minipage": 1,
    "multicols": 1, "thebibliography": 1, "list": 2, "adjustwidth": 2, "wrapfigure": 2,
    "wraptable": 2, "spacing": 1, "minted": 0, "otherlanguage": 1, "tabbing": 0, "subfigure": 1,
    "alignat": 1, "textblock": 1, "column": 1, "columns": 0,
}  # fmt: skip
# Environments whose name is printed.
NAMED_ENVIRONMENTS = frozenset(
    "abstract proof theorem lemma corollary proposition definition example remark conjecture claim "
    "exercise problem solution question answer note notation assumption axiom algorithm".split()
)
# Commands whose argument is text that stands apart from the text around.
WITH_ARGUMENT = frozenset(
    "part chapter section subsection subsubsection paragraph subparagraph title subtitle author "
    "date footnote footnotetext endnote thanks caption label ref eqref pageref autoref cref Cref "
    "cite citep citet citealp citealt citeauthor citeyear parencite textcite footcite autocite "
    "nocite index marginpar marginnote sidenote todo note input include includeonly "
    "bibliography addbibresource frametitle framesubtitle frame institute affiliation address "
    "email keywords bibitem item usepackage documentclass includegraphics glossary".split()
)
SKIPS = frozenset(
    "vskip hskip kern mskip mkern parindent parskip baselineskip hsize vsize hoffset voffset "
    "textwidth textheight oddsidemargin evensidemargin topmargin tabcolsep arraycolsep "
    "raise lower".split()
)
