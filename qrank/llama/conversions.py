"""Known errors and omissions in GGUF conversions of published models: they are corrected where the
file has enough information, else the file is refused, so that no score is silently wrong."""

from __future__ import annotations

import logging

from qrank.errors import ModelError
from qrank.llama.gguf import Kind, ModelFile

END_OF_TEXT = "<|endoftext|>"  # the end-of-text token of Qwen3-Embedding
PRE = "tokenizer.ggml.pre"
_TOKENS = "tokenizer.ggml.tokens"
_QWEN3_TOKENS = 152_064  # rows at most; the vocabulary of Qwen3.5 has 248 thousand

log = logging.getLogger("qrank")


def overrides(file: ModelFile) -> dict[str, str]:
    """Metadata that llama.cpp has to override, by key: the pre-tokenizer. If the file names none,
    llama.cpp's default is wrong for these models; some conversions of Qwen3 name Qwen3.5's."""
    tokenizer = file.metadata.get(PRE, "default")
    count = file.arrays.get(_TOKENS, (0, 0, 0))[1]
    if (
        file.architecture == "qwen3"
        and count <= _QWEN3_TOKENS
        and tokenizer in ("default", "qwen35")
    ):
        return {PRE: "qwen2"}
    if file.architecture == "modern-bert" and tokenizer == "default":
        return {PRE: "modern-bert"}
    return {}


def require_head(file: ModelFile) -> None:
    """Raise ModelError for a reranker whose head is incomplete, or whose labels are unknown."""
    labels = file.get("classifier.output_labels") or []
    if file.kind is Kind.classifier and "yes" not in labels:
        labelled = f"the labels {labels}" if labels else "no labels"
        raise ModelError(
            f"{file.path} has a head with {labelled}: it is unknown which row means yes",
            hint="convert it with: qrank models import, or use a file with labels",
        )
    if file.kind is not Kind.cross_encoder or "cls.output.weight" not in file.tensors:
        return
    needed = {"bert": ("cls.weight",), "modern-bert": ("cls.weight", "cls.norm.weight")}
    missing = [t for t in needed.get(file.architecture, ()) if t not in file.tensors]
    if missing:
        raise ModelError(
            f"{file.path} lacks a part of its head ({', '.join(missing)}), which its conversion "
            "dropped: its scores would be wrong",
            hint="convert the published folder with: qrank models import",
        )
    if file.architecture == "modern-bert" and file.get("classifier.pooling_type") is None:
        log.warning(
            "%s does not say how it pools before its head: the mean is taken, as in "
            "gte-reranker-modernbert-base",
            file.path,
        )
