"""Qwen3-Embedding and Qwen3-Reranker -> GGUF.

Source of names and fields: llama.cpp's conversion/qwen.py and gguf-py. A reranker gets a
classification head: the rows of "yes" and "no" of the output matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qrank.errors import ModelError
from qrank.models.convert import byte_pairs
from qrank.models.convert.folder import Folder
from qrank.models.convert.weights import Tensor, Weight

if TYPE_CHECKING:
    import gguf

MODULES = ("LogitScore",)  # of sentence-transformers
END, TURN_END = "<|endoftext|>", "<|im_end|>"
ANSWERS = ("yes", "no")  # the order of the rows in the head


def is_reranker(folder: Folder) -> bool:
    """Whether the model is a reranker; embedders have a pooling."""
    return folder.pooling is None


def tensors(folder: Folder) -> dict[str, tuple[Tensor, int | None]]:
    """GGUF name -> (tensor, None: all of its rows). Raises ModelError for an unexpected tensor."""
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, folder.number("num_hidden_layers"))
    result: dict[str, tuple[Tensor, int | None]] = {}
    for name, weight in folder.weights.items():
        if name.startswith("lm_head."):
            continue  # embedders don't need it, rerankers only two of its rows: see head
        full = name if name.startswith("model.") else f"model.{name}"
        target = names.get_name(full, try_suffixes=(".weight",))
        if target is None:
            raise ModelError(f"{folder.path}: unexpected tensor {name}")
        result[target] = (weight, None)
    return result


def head(folder: Folder) -> tuple[Weight, list[int]]:
    """The output matrix of a reranker, and its rows for "yes" and "no". Raises ModelError when the
    vocabulary lacks one of them."""
    vocabulary = folder.tokenizer["model"]["vocab"]
    missing = [word for word in ANSWERS if word not in vocabulary]
    if missing:
        raise ModelError(f"{folder.path}: the vocabulary has no token for {' and '.join(missing)}")
    own = None if folder.config.get("tie_word_embeddings") else folder.weights.get("lm_head.weight")
    return own or _embeddings(folder), [vocabulary[word] for word in ANSWERS]


def _embeddings(folder: Folder) -> Weight:
    """The embedding matrix. Raises ModelError when there is none."""
    for name in ("model.embed_tokens.weight", "embed_tokens.weight"):
        if name in folder.weights:
            return folder.weights[name]
    raise ModelError(f"{folder.path} has no embedding matrix")


def describe(out: gguf.GGUFWriter, folder: Folder) -> None:
    """Write the metadata: shape, pooling, vocabulary, a reranker's labels. Raises ModelError for
    what llama.cpp does not support."""
    import gguf

    config = folder.config
    rope = config.get("rope_parameters") or {}
    if config.get("rope_scaling"):
        raise ModelError(f"{folder.path} uses rope_scaling, which is not supported")
    out.add_context_length(folder.number("max_position_embeddings"))
    out.add_embedding_length(folder.number("hidden_size"))
    out.add_block_count(folder.number("num_hidden_layers"))
    out.add_feed_forward_length(folder.number("intermediate_size"))
    out.add_head_count(folder.number("num_attention_heads"))
    out.add_head_count_kv(folder.number("num_key_value_heads"))
    out.add_key_length(folder.number("head_dim"))
    out.add_value_length(folder.number("head_dim"))
    out.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta", 1e6)))
    out.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    reranks = is_reranker(folder)
    if reranks:
        out.add_pooling_type(gguf.PoolingType.RANK)
        out.add_classifier_output_labels(list(ANSWERS))
    elif folder.pooling == "last":
        out.add_pooling_type(gguf.PoolingType.LAST)
    else:
        raise ModelError(f"{folder.path}: {folder.pooling} pooling is not supported for Qwen3")
    _vocabulary(out, folder, reranks)


def _vocabulary(out: gguf.GGUFWriter, folder: Folder, reranks: bool) -> None:
    vocabulary = byte_pairs.read(folder, _embeddings(folder).shape[0])
    ids = vocabulary.ids
    missing = [token for token in (END, TURN_END) if token not in ids]
    if missing:
        raise ModelError(f"{folder.path}: the vocabulary has no {' and no '.join(missing)}")
    vocabulary.write(out, "qwen2")
    out.add_bos_token_id(ids[END])
    out.add_pad_token_id(ids[END])
    out.add_eos_token_id(ids[TURN_END if reranks else END])
    out.add_add_bos_token(False)
    out.add_add_eos_token(not reranks)
