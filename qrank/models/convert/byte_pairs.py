"""Byte-level BPE -> GGUF: a list with a token for each row of the embedding matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qrank.errors import ModelError
from qrank.models.convert.folder import Folder

if TYPE_CHECKING:
    import gguf


@dataclass(frozen=True, slots=True)
class BytePairs:
    """A vocabulary: tokens and their types (gguf.TokenType) by id, merges, and ids by token."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    ids: dict[str, int]

    def write(self, out: gguf.GGUFWriter, pre: str) -> None:
        """Write it; pre: llama.cpp's name of the pre-tokenizer."""
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre(pre)
        out.add_token_list(self.tokens)
        out.add_token_types(self.types)
        out.add_token_merges(self.merges)


def read(folder: Folder, rows: int) -> BytePairs:
    """Read the folder's vocabulary for an embedding matrix of so many rows; rows without a token
    get a placeholder. Raises ModelError for another kind of vocabulary, or ids beyond the rows."""
    import gguf

    model = folder.tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        raise ModelError(f"{folder.path} has a {model.get('type')} vocabulary, not byte-level BPE")
    ids: dict[str, int] = dict(model["vocab"])
    kinds = dict.fromkeys(ids, gguf.TokenType.NORMAL)
    for added in folder.tokenizer.get("added_tokens", []):
        special = bool(added.get("special"))
        ids[added["content"]] = added["id"]
        kinds[added["content"]] = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
    if not all(type(i) is int and 0 <= i < rows for i in ids.values()):
        raise ModelError(
            f"{folder.path}: the vocabulary has ids up to {max(ids.values())}, but the embedding "
            f"matrix has {rows} rows",
            hint="tokenizer.json and the weights are not of the same model",
        )
    tokens = [f"[PAD{i}]" for i in range(rows)]  # the matrix often has more rows than tokens
    types = [int(gguf.TokenType.UNUSED)] * rows
    for token, i in ids.items():
        tokens[i], types[i] = token, int(kinds[token])
    merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges", [])]
    return BytePairs(tokens, types, merges, ids)
