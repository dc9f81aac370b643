"""BERT with WordPiece (such as MiniLM) -> GGUF: an embedder or a cross-encoder.

Source of names and fields: llama.cpp's conversion/bert.py and gguf-py. Unlike there, the pooler of
a cross-encoder is converted, too, and the position table is truncated to the length at which
sentence-transformers truncates texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qrank.errors import ModelError
from qrank.models.convert.folder import Folder
from qrank.models.convert.weights import Tensor

if TYPE_CHECKING:
    import gguf

MODULES = ()  # of sentence-transformers
_ROLES = {"[UNK]": "unk", "[SEP]": "sep", "[PAD]": "pad", "[CLS]": "cls", "[MASK]": "mask"}


def is_reranker(folder: Folder) -> bool:
    """Whether the model is a cross-encoder."""
    return folder.architecture == "BertForSequenceClassification"


def tensors(folder: Folder) -> dict[str, tuple[Tensor, int | None]]:
    """GGUF name -> (tensor, how many of its first rows are converted; None for all).

    Raises ModelError for an unexpected tensor, or a head with more than one label.
    """
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, folder.number("num_hidden_layers"))
    heads = {"pooler.dense": "cls", "classifier": "cls.output"} if is_reranker(folder) else {}
    result: dict[str, tuple[Tensor, int | None]] = {}
    for name, weight in folder.weights.items():
        bare = name.removeprefix("bert.")
        layer, _, part = bare.rpartition(".")
        part = {"gamma": "weight", "beta": "bias"}.get(part, part)
        if not heads and layer == "pooler.dense":
            continue  # not used for sentence embeddings
        target = heads.get(layer) or names.get_name(layer)
        if target is None:
            raise ModelError(f"{folder.path}: unexpected tensor {name}")
        if layer == "classifier" and weight.shape[0] != 1:
            raise ModelError(f"{folder.path} has {weight.shape[0]} labels; a reranker has one")
        rows = context(folder) if target == "position_embd" else None
        result[f"{target}.{part}"] = (weight, rows)
    return result


def context(folder: Folder) -> int:
    """The longest sequence of the model, in tokens."""
    return min(folder.number("max_position_embeddings"), folder.max_tokens or 1 << 30)


def describe(out: gguf.GGUFWriter, folder: Folder) -> None:
    """Write the metadata: shape, pooling, vocabulary. Raises ModelError for what llama.cpp does not
    support."""
    import gguf

    config = folder.config
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ModelError(
            f"{folder.path} has relative positions, which llama.cpp does not support for BERT"
        )
    out.add_context_length(context(folder))
    out.add_embedding_length(folder.number("hidden_size"))
    out.add_block_count(folder.number("num_hidden_layers"))
    out.add_feed_forward_length(folder.number("intermediate_size"))
    out.add_head_count(folder.number("num_attention_heads"))
    out.add_layer_norm_eps(float(config.get("layer_norm_eps", 1e-12)))
    out.add_causal_attention(False)
    if is_reranker(folder):
        out.add_pooling_type(gguf.PoolingType.RANK)
        out.add_classifier_output_labels(["LABEL_0"])
    else:
        # CLS pooling is BERT's default.
        pooling = {"mean": gguf.PoolingType.MEAN, "cls": gguf.PoolingType.CLS}
        if folder.pooling not in (*pooling, None):
            raise ModelError(f"{folder.path}: {folder.pooling} pooling is not supported for BERT")
        out.add_pooling_type(pooling[folder.pooling or "cls"])
    _vocabulary(out, folder)


def _vocabulary(out: gguf.GGUFWriter, folder: Folder) -> None:
    """Write WordPiece as llama.cpp has it: a word's first piece begins with ▁, others have no
    ##."""
    import gguf

    model: dict[str, Any] = folder.tokenizer.get("model") or {}
    if model.get("type", "WordPiece") != "WordPiece" or "vocab" not in model:
        raise ModelError(
            f"{folder.path} has a {model.get('type')} vocabulary; only WordPiece can be converted"
        )
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    special = {token["content"] for token in folder.tokenizer.get("added_tokens", [])}
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("bert-bge")
    out.add_token_list(
        [p if p in special else p[2:] if p.startswith("##") else f"▁{p}" for p in pieces]
    )
    out.add_token_types([control if piece in special else normal for piece in pieces])
    out.add_token_type_count(int(folder.config.get("type_vocab_size", 1)))
    normalizer = folder.tokenizer.get("normalizer") or {}
    out.add_bool("tokenizer.ggml.normalizer.lowercase", bool(normalizer.get("lowercase", True)))
    for token, role in _ROLES.items():
        if token not in model["vocab"]:
            raise ModelError(f"{folder.path}: the vocabulary has no {token}")
        if role != "cls":
            getattr(out, f"add_{role}_token_id")(model["vocab"][token])
    out.add_bos_token_id(model["vocab"]["[CLS]"])
    out.add_eos_token_id(model["vocab"]["[SEP]"])
    out.add_add_bos_token(True)
    out.add_add_eos_token(True)
