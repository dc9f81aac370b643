"""Validation of the lines of an export, which is untrusted input.

Every function raises ValueError, with the reason, for a line that qrank would not write.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qrank.analysis.language import LANGUAGES
from qrank.analysis.terms import new_chunk
from qrank.chunk_text import unique_hash
from qrank.markup import readable
from qrank.results import Chunk, NewChunk, Signature
from qrank.store.interface import CollectionSettings, NewDocument, Root, StoredModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
HASH_BYTES = 16  # of the hashes of files and unique texts
LONGEST_NAME = 1000  # characters of a collection, of a model's name or hash
UNIT = 1e-2  # tolerance of a vector's length, far above the rounding to DECIMALS
_MOST = 2**63 - 1  # SQLite's largest integer
_CONTROL = {*map(chr, range(32)), "\x7f"}


def parsed(line: str) -> dict[str, Any]:
    """A line as a JSON object, without NaN and infinity."""
    try:
        item = json.loads(line, parse_constant=_reject_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    if not isinstance(item, dict):
        raise ValueError("it is not a JSON object")
    return item


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def models(item: dict[str, Any]) -> list[StoredModel]:
    """The models of the first line; their ids are 0."""
    if _integer(item, "qrank") != FORMAT:
        raise ValueError(f"format {item['qrank']} is unknown")
    from qrank.store.decode import MOST_DIMS

    result = []
    for model in _list(item, "models"):
        if not isinstance(model, dict) or model.keys() != _MODEL_FIELDS:
            raise ValueError(f"a model has the fields {', '.join(sorted(_MODEL_FIELDS))}")
        result.append(
            StoredModel(
                0,
                _name(model, "name"),
                _name(model, "sha256"),
                _integer(model, "dims", 1, MOST_DIMS),
                _integer(model, "prompt_version"),
            )
        )
    if len({model.sha256 for model in result}) != len(result):
        raise ValueError("the same model is listed twice")
    return result


_MODEL_FIELDS = {*StoredModel._fields} - {"id"}


def collections(item: dict[str, Any]) -> dict[str, tuple[CollectionSettings, list[Root]]]:
    """The settings and roots of collections, by name, from the first line; empty for an export of
    an older version."""
    result: dict[str, tuple[CollectionSettings, list[Root]]] = {}
    for own in _list(item, "collections") if "collections" in item else []:
        if not isinstance(own, dict):
            raise ValueError("a collection is not an object")
        rules = [_text({"a rule": rule}, "a rule") for rule in _list(own, "ignore")]
        settings = CollectionSettings(
            _text(own, "description"), tuple(rules), _text(own, "instruction")
        )
        result[_name(own, "name")] = settings, [_root(root) for root in _list(own, "roots")]
    return result


def _root(item: object) -> Root:
    if not isinstance(item, dict):
        raise ValueError("a folder of a collection is not an object")
    path, options = _text(item, "path"), _text(item, "options")
    if not path or "\0" in path:
        raise ValueError("path is empty or not valid")
    if options:
        parsed(options)
    return Root(path, options)


def document(item: dict[str, Any]) -> NewDocument:
    """A document from its line, without chunks."""
    path = _text(item, "path")
    if not path or "\0" in path:
        raise ValueError("path is empty or not valid")
    language = _text(item, "language") if "language" in item else ""
    if language and language not in LANGUAGES:
        raise ValueError(f"the language {language} is unknown")
    member = _text(item, "member") if "member" in item else ""
    if "\0" in member:
        raise ValueError("member can't be a path")
    return NewDocument(
        collection=_name(item, "collection"),
        path=path,
        signature=Signature(_integer(item, "size"), _integer(item, "mtime_ns", -_MOST)),
        content_hash=_hash(item, "hash"),
        title=_text(item, "title"),
        extractor=_name(item, "extractor"),
        chunks=(),
        language=language,
        fields=_own_fields(item),
        member=member,
    )


def chunk(item: dict[str, Any], title: str, path: str) -> NewChunk:
    """A chunk from its line; title and path: those of its document.

    `passage` must be the hash of its text, as equal texts share a vector: otherwise an export
    could replace the vectors of other documents.
    """
    plain = Chunk(
        text=_text(item, "text"),
        heading=_text(item, "heading"),
        start_byte=_integer(item, "start_byte"),
        end_byte=_integer(item, "end_byte", item["start_byte"]),
        start_line=_integer(item, "start_line", 1),
        end_line=_integer(item, "end_line", item["start_line"]),
        page=None if item["page"] is None else _integer(item, "page", 1),
    )
    text_hash = _hash(item, "passage")
    texts = (plain.text, readable(plain.text, path))  # older versions hashed the text with markup
    if text_hash not in [unique_hash(title, plain.heading, text) for text in texts]:
        raise ValueError("passage is not the hash of its title, heading and text")
    terms = item["terms"]
    if not isinstance(terms, dict):
        raise ValueError("terms is not an object")
    fields = _own_fields(item)
    part = _integer(item, "part") if "part" in item else 0
    return new_chunk(plain, _terms(terms, "body"), _terms(terms, "title"), text_hash, fields, part)


def vectors(item: dict[str, Any], models: dict[str, StoredModel]) -> dict[str, NDArray[np.float32]]:
    """The vectors in a chunk's line by the hash of their model, each of shape (dims,)."""
    by_model = item["vectors"]
    if not isinstance(by_model, dict):
        raise ValueError("vectors is not an object")
    return {sha256: _vector(sha256, numbers, models) for sha256, numbers in by_model.items()}


def _vector(sha256: str, numbers: object, models: dict[str, StoredModel]) -> NDArray[np.float32]:
    import numpy as np

    if sha256 not in models:
        raise ValueError("a vector of a model that is not in the first line")
    if not isinstance(numbers, list) or not set(map(type, numbers)) <= {int, float}:
        raise ValueError("a vector is not a list of numbers")
    if len(numbers) != models[sha256].dims:
        raise ValueError(f"a vector with {len(numbers)} dimensions")
    if any(abs(number) > 2 for number in numbers):  # before float32 overflows
        raise ValueError("a vector that does not have length 1")
    vector = np.array(numbers, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    if vector.any() and not abs(length - 1) <= UNIT:  # all zeros: of a text without tokens
        raise ValueError(f"a vector of length {length:.4g}, not 1")
    return vector


def _text(item: dict[str, Any], key: str) -> str:
    from qrank.store.decode import LONGEST_TEXT

    value = item[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{key} has {len(value)} characters, more than {LONGEST_TEXT}")
    value.encode()  # raises UnicodeEncodeError, a ValueError, for a lone surrogate
    return value


def _name(item: dict[str, Any], key: str) -> str:
    """A text without line breaks and other control characters."""
    value = _text(item, key)
    if not value or len(value) > LONGEST_NAME or not _CONTROL.isdisjoint(value):
        raise ValueError(f"{key} is empty, too long, or has control characters")
    return value


def _terms(item: dict[str, Any], key: str) -> str:
    """Terms, separated by spaces. They can't forge a collection or language, whose terms are in
    another column, which exports do not contain."""
    value = _text(item, key)
    if not _CONTROL.isdisjoint(value):
        raise ValueError(f"terms.{key} has control characters")
    return value


def _integer(item: dict[str, Any], key: str, least: int = 0, most: int = _MOST) -> int:
    value = item[key]
    if type(value) is not int or not least <= value <= most:  # bool is a subclass of int
        raise ValueError(f"{key} is not a whole number from {least} to {most}")
    return value


def _list(item: dict[str, Any], key: str) -> list[Any]:
    value = item[key]
    if not isinstance(value, list):
        raise ValueError(f"{key} is not a list")
    return value


def _hash(item: dict[str, Any], key: str) -> bytes:
    value = _text(item, key)
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if data.hex() != value or len(data) != HASH_BYTES:
        raise ValueError(f"{key} is not {HASH_BYTES} bytes in hexadecimal")
    return data


def _own_fields(item: dict[str, Any]) -> str:
    """A document's own fields, as JSON; "" when there are none."""
    from qrank.store.decode import DamagedError, json_object

    fields = item.get("fields")
    if not fields:
        return ""
    if not isinstance(fields, dict):
        raise ValueError("fields is not an object")
    try:
        text = json.dumps(fields, ensure_ascii=False)
        text.encode()
        json_object(text)
    except (DamagedError, RecursionError):
        raise ValueError("fields is too long or too deeply nested") from None
    return text
