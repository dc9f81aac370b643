"""Source code, split at definitions by tree-sitter; without a grammar for the language, or when
parsing takes too long, by indentation and blank lines."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from qrank.ingest.limits import address_space
from qrank.results import Block

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

MAX_DEPTH = 4  # of nested definitions
# Limits for parsing a file: seconds of processor time, added seconds per MB, bytes of memory. Code
# takes 0.2 s and 40 MB per MB, but other text may take a grammar quadratic time (a long line of
# `/*`), or exhaust memory.
SECONDS, SECONDS_A_MB, MEMORY = 3.0, 0.5, 256 << 20
_WINDOW = 1 << 16  # bytes passed to the parser at once
SPLIT = 1000  # bytes; a shorter class is one block
GRAMMARS = {  # suffix -> (module of the grammar, its function)
    **dict.fromkeys(("py", "pyi"), ("tree_sitter_python", "language")),
    **dict.fromkeys(("js", "jsx", "cjs", "mjs"), ("tree_sitter_javascript", "language")),
    **dict.fromkeys(("ts", "cts", "mts"), ("tree_sitter_typescript", "language_typescript")),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rs": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    **dict.fromkeys(("c", "h"), ("tree_sitter_c", "language")),
    **dict.fromkeys(("cc", "cpp", "cxx", "hpp"), ("tree_sitter_cpp", "language")),
    "cs": ("tree_sitter_c_sharp", "language"),
    "rb": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
    **dict.fromkeys(("sh", "bash"), ("tree_sitter_bash", "language")),
}
_CLOSING = (")", "]", "}")
_DEFINITION = re.compile(
    r"(?:function|method|class|interface|struct|enum|trait|impl|module|mod|namespace|object|record|"
    r"constructor|union|type_alias)\w*|(?:type|singleton|lexical)_\w+|const_item|macro_definition"
)
_WRAPPER = re.compile(r"decorated_definition|export_statement|template_declaration|linkage_\w+")
_LEADING = re.compile(r"\w*comment|attribute\w*|decorator|annotation")


def extract(text: str, suffix: str = "") -> tuple[str, list[Block]]:
    """Return ("", blocks): a block is a definition with the comments before it; its headings are
    the names of the enclosing definitions and its own.

    >>> [b.heading for b in extract("class A:\\n    def b(self): pass\\n", "py")[1]]
    [('A',)]
    """
    parser = _parser(suffix)
    if parser is None:
        return "", _by_indentation(text)
    data = text.encode("utf-8")
    tree = _parsed(parser, data)
    if tree is None:
        return "", _by_indentation(text)
    spans = list(_definitions(tree.root_node, len(data)))
    return "", _in_characters(spans, data, text.isascii())


@cache
def _parser(suffix: str) -> Parser | None:
    if suffix not in GRAMMARS:
        return None
    from tree_sitter import Language, Parser

    module, function = GRAMMARS[suffix]
    return Parser(Language(getattr(import_module(module), function)()))


def _parsed(parser: Parser, data: bytes) -> Tree | None:
    """The syntax tree; None when parsing takes too long, or too much memory."""
    end = time.process_time() + SECONDS + SECONDS_A_MB * len(data) / (1 << 20)
    most = address_space() + MEMORY
    calls = 0

    def too_much(*_: object) -> bool:
        nonlocal calls
        calls += 1
        return time.process_time() > end or (calls % 64 == 0 and address_space() > most)

    try:
        return parser.parse(lambda at, _: data[at : at + _WINDOW], progress_callback=too_much)
    except ValueError:
        parser.reset()
        return None


Span = tuple[int, int, tuple[str, ...]]  # start and end in bytes, names


def _definitions(
    node: Node, end: int, names: tuple[str, ...] = (), start: int = 0
) -> Iterator[Span]:
    """Yield spans that cover start to end: of definitions, and of the text between them."""
    done = start
    leads = start  # start of the comments before the next definition
    for child in node.named_children:
        if _LEADING.fullmatch(child.type):
            continue
        name = _name(child)
        if name is None:
            leads = child.end_byte
            continue
        if leads > done:
            yield done, leads, names
            done = leads
        own = (*names, name)
        inner = _body(child)
        stop = max(done, child.end_byte)
        if inner and stop - child.start_byte > SPLIT and len(own) < MAX_DEPTH:
            yield from _definitions(inner, stop, own, done)
        else:
            yield done, stop, own
        done = leads = stop
    if end > done:
        yield done, end, names


def _name(node: Node) -> str | None:
    """The name of the definition that a node is; None when it is none."""
    while _WRAPPER.fullmatch(node.type):
        inner = [child for child in node.named_children if not _LEADING.fullmatch(child.type)]
        if not inner:
            return None
        node = inner[-1]
    if not _DEFINITION.fullmatch(node.type):
        return None
    part = node.child_by_field_name("type" if node.type == "impl_item" else "name")
    declarator = node.child_by_field_name("declarator")
    while part is None and declarator is not None:  # C: the name is within the type
        inner_declarator = declarator.child_by_field_name("declarator")
        part, declarator = (None, inner_declarator) if inner_declarator else (declarator, None)
    if part is None:  # const f = () => …
        first = node.named_children[0] if node.named_children else None
        part = first.child_by_field_name("name") if first is not None else None
    if part is None or part.text is None:
        return None
    return " ".join(part.text.decode("utf-8", "replace").split())[:100] or None


def _body(node: Node) -> Node | None:
    """The node with the inner definitions of a definition; None without any."""
    while _WRAPPER.fullmatch(node.type) and node.named_children:
        node = node.named_children[-1]
    body = node.child_by_field_name("body")
    if body is None or not any(_name(child) for child in body.named_children):
        return None
    return body


def _in_characters(spans: list[Span], data: bytes, ascii_only: bool) -> list[Block]:
    if ascii_only:
        return [Block(*span) for span in spans if data[span[0] : span[1]].strip()]
    blocks = []
    at = 0
    for start, end, names in spans:
        length = len(data[start:end].decode("utf-8", "replace"))
        if data[start:end].strip():
            blocks.append(Block(at, at + length, names))
        at += length
    return blocks


def _by_indentation(text: str) -> list[Block]:
    """Split before unindented lines after a blank line, unless they start with a closing bracket.

    >>> [b.end for b in _by_indentation("def a():\\n    x\\n\\n    y\\n\\ndef b(): pass\\n")]
    [23, 37]
    """
    blocks: list[Block] = []
    at = start = 0
    after_blank = False
    for line in text.splitlines(keepends=True):
        if after_blank and line.strip() and not line[0].isspace() and line[0] not in _CLOSING:
            if text[start:at].strip():
                blocks.append(Block(start, at))
            start = at
        after_blank = not line.strip()
        at += len(line)
    if text[start:].strip():
        blocks.append(Block(start, len(text)))
    return blocks
