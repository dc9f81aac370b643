"""Reading the header of a GGUF file: what kind of model it is, and whether it is complete.

Format: the GGUF specification in ggml's docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import struct
import sys
from array import array
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from qrank import files
from qrank.errors import ModelError
from qrank.llama import validation

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?"}
_SCALARS |= {10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_TOKENS = "tokenizer.ggml.tokens"
HEAD = "qrank.head.steps"  # the layers of a head that qrank computes itself (qrank/llama/head.py)
_PACKAGE = Path(__file__).parents[1]  # bundled models are not checked for duplicate tokens
MOST_ENTRIES = 1 << 17  # values, or tensors: the largest models have ten thousand
LONGEST_STRING = 64 << 20  # bytes: a chat template has ten thousand
_MOST_ITEMS = 64  # of an array that is read; longer ones are vocabularies and the like
POOLING = ("none", "mean", "cls", "last", "rank")  # llama.cpp's enum llama_pooling_type

EMBEDDING_POOLING = ("mean", "cls", "last")


class Kind(Enum):
    """What a model file can be used for."""

    embedder = "an embedder"
    causal = "a causal language model"
    classifier = "a causal reranker with a classification head"
    cross_encoder = "a cross-encoder"
    other = "a model of another kind"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file's header."""

    path: Path
    metadata: dict[str, Any]  # without the values of long arrays
    tensors: dict[str, tuple[int, tuple[int, ...], int]]  # ggml's type, shape, byte offset
    arrays: dict[str, tuple[int, int, int]]  # GGUF's type of an item, count, byte offset

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture, such as qwen3."""
        return str(self.metadata.get("general.architecture", ""))

    def get(self, key: str, default: Any = None) -> Any:
        """The metadata value of ARCHITECTURE.key."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    def number(self, key: str, default: int) -> int:
        """The integer of ARCHITECTURE.key. Raises ModelError when it is something else."""
        value = self.get(key, default)
        if not isinstance(value, int):
            raise ModelError(f"the model file {self.path} is damaged ({key} is {value!r})")
        return value

    @property
    def pooling(self) -> str:
        """The pooling that the file names: none, mean, cls, last, rank, or "type N"."""
        number = self.number("pooling_type", 0)
        return POOLING[number] if number in range(len(POOLING)) else f"type {number}"

    def pooled_by(self, pooling: str) -> ModelFile:
        """This file with a pooling, for conversions that omit it; unchanged if it names one, or is
        a reranker."""
        if self.pooling != "none" or self.kind not in (Kind.causal, Kind.other):
            return self
        key = f"{self.architecture}.pooling_type"
        return replace(self, metadata=self.metadata | {key: POOLING.index(pooling)})

    @property
    def causal(self) -> bool:
        """Whether attention is causal; it is bidirectional in the BERT family."""
        return bool(self.get("attention.causal", self.architecture != "gemma-embedding"))

    @property
    def kind(self) -> Kind:
        """The kind, by metadata and tensors; the file's name is not used."""
        if HEAD in self.metadata:
            return Kind.cross_encoder
        if "cls.output.weight" in self.tensors or (
            "cls.weight" in self.tensors and not self.causal
        ):
            # Conversions of cross-encoders often have no pooling type, but the head says enough.
            return Kind.classifier if self.causal else Kind.cross_encoder
        if self.pooling in EMBEDDING_POOLING:
            return Kind.embedder
        return Kind.causal if self.pooling == "none" and self.causal else Kind.other

    @property
    def weights_per_token(self) -> int:
        """How many weights are used for each token: those of the layers."""
        layers = (shape for name, (_, shape, _) in self.tensors.items() if name.startswith("blk."))
        return sum(math.prod(shape) for shape in layers)

    def array(self, key: str, form: str) -> array[Any]:
        """Read an array of numbers from the file; form: type code of the array module: I, i or f.

        Raises ModelError when there is no such array of this type, OSError when it can't be read.
        """
        kind, count, start = self.arrays.get(key, (-1, 0, 0))
        values: array[Any] = array(form)
        if kind != {"I": 4, "i": 5, "f": 6}[form]:
            raise ModelError(f"the model file {self.path} is damaged (it has no {key})")
        with self.path.open("rb") as file:
            file.seek(start)
            values.frombytes(file.read(count * values.itemsize))
        if sys.byteorder == "big":
            values.byteswap()
        return values

    @property
    def context_length(self) -> int:
        """The longest sequence of the model, in tokens; 512 if the file does not say."""
        return self.number("context_length", 512)


def read_header(path: Path) -> ModelFile:
    """Read a GGUF file's header.

    Raises ModelError for a file that is missing, not GGUF, of an unknown version, truncated or
    damaged.
    """
    try:
        if not path.stat().st_size:
            raise ModelError(f"{path} is not a GGUF model file (it is empty)")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path).header()
    except OSError as error:
        raise ModelError(f"can't read the model file {path}: {files.reason(error)}") from error
    except ValueError as error:
        raise ModelError(
            f"the model file {path} is damaged: {' '.join(str(error).split())[:200]}",
            hint="download it again",
        ) from error
    except (struct.error, IndexError, OverflowError) as error:
        raise ModelError(
            f"the model file {path} is truncated or damaged", hint="download it again"
        ) from error


def require_embedder(file: ModelFile) -> None:
    """Raise ModelError unless the file is an embedding model that qrank can run."""
    if file.kind is not Kind.embedder:
        raise ModelError(
            f"{file.path} is {file.kind.value}, not an embedder",
            hint="name an embedding model's file; one that does not say how it pools needs "
            "`pooling` in config.toml"
            if file.pooling == "none"
            else "name the file of an embedding model, such as Qwen3-Embedding's",
        )
    if file.causal and file.pooling != "last":
        raise ModelError(f"{file.path} is causal and pools by {file.pooling}: not supported")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Reader:
    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data = data
        self.path = path
        self.at = 0

    def header(self) -> ModelFile:
        if self.data[:4] != b"GGUF":
            raise ModelError(f"{self.path} is not a GGUF model file", hint="name a .gguf file")
        self.at = 4
        version = self.scalar("<I")
        if version not in (2, 3):
            raise ModelError(f"{self.path} has GGUF version {version}, which qrank can't read")
        tensor_count, metadata_count = self.scalar("<Q"), self.scalar("<Q")
        if metadata_count > MOST_ENTRIES or tensor_count > MOST_ENTRIES:
            raise ValueError("too many entries for a model")
        metadata: dict[str, Any] = {}
        contents = validation.Contents()
        arrays: dict[str, tuple[int, int, int]] = {}
        for _ in range(metadata_count):
            key = self.string(validation.LONGEST_KEY)
            if key in metadata:
                raise ValueError(f"{key} is there twice")
            kind = self.scalar("<I")
            if kind == _ARRAY:
                contents.arrays[key] = struct.unpack_from("<IQ", self.data, self.at)
                arrays[key] = (*contents.arrays[key], self.at + 12)
            before = self.at
            metadata[key] = self.value(kind)
            if key == _TOKENS and kind == _ARRAY and not self.path.is_relative_to(_PACKAGE):
                self.require_distinct(before, contents.arrays[key])
        for _ in range(tensor_count):
            name = self.string(validation.LONGEST_NAME)
            if name in contents.tensors:
                raise ValueError(f"{name} is there twice")
            dimensions = self.scalar("<I")
            if dimensions > validation.MOST_DIMENSIONS:
                raise ValueError(f"{name} has {dimensions} dimensions")
            shape = tuple(self.scalar("<Q") for _ in range(dimensions))
            contents.tensors[name] = (self.scalar("<I"), shape, self.scalar("<Q"))
        validation.check(metadata, contents, self.at, len(self.data))
        start = validation.data_start(metadata, self.at)
        tensors = {
            name: (k, shape, start + at) for name, (k, shape, at) in contents.tensors.items()
        }
        return ModelFile(self.path, metadata, tensors, arrays)

    def require_distinct(self, start: int, array: tuple[int, int]) -> None:
        """Raise ValueError for an array with two equal strings: llama.cpp aborts on a duplicate
        token. Takes about a quarter of a microsecond per token."""
        item, count = array
        data, at = self.data[start : self.at], 12
        unpack = struct.Struct("<Q").unpack_from
        tokens: list[bytes] = []
        for _ in range(count if item == _STRING else 0):
            begin = at + 8
            at = begin + unpack(data, at)[0]
            tokens.append(data[begin:at])
        # llama.cpp truncates tokens at the first NUL, and gives empty ones unique names.
        if b"\0" in b"".join(tokens):
            tokens = [token.partition(b"\0")[0] for token in tokens]
        if len(set(tokens)) != len(tokens) - max(0, tokens.count(b"") - 1):
            raise ValueError("a token is there twice")

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self, longest: int = LONGEST_STRING) -> str:
        length = self.scalar("<Q")
        if length > longest:
            raise ValueError(f"it has a string of {length} bytes")
        start = self.at
        self.at += length
        if self.at > len(self.data):
            raise struct.error("a string ends after the end of the file")
        return self.data[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind]) if kind in _SCALARS else self.unknown(kind)
        item, count = self.scalar("<I"), self.scalar("<Q")
        if item == _ARRAY:
            self.unknown(item)  # arrays of arrays: no file has them
        if count <= _MOST_ITEMS:
            return [self.value(item) for _ in range(count)]
        if item == _STRING:
            unpack, data, at = struct.Struct("<Q").unpack_from, self.data, self.at
            for _ in range(count):
                at += 8 + unpack(data, at)[0]
            self.at = at
        elif item in _SCALARS:
            self.at += count * struct.calcsize(_SCALARS[item])
        else:
            self.unknown(item)
        return None

    def unknown(self, kind: int) -> Any:
        raise struct.error(f"unknown value type {kind}")
