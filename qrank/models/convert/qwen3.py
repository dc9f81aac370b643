"""Qwen3-Embedding and Qwen3-Reranker -> GGUF.

Source of names and fields: llama.cpp's conversion/qwen.py and gguf-py. A reranker becomes the kind
with a classification head: the rows of "yes" and "no" out of the output matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qrank.errors import ModelError
from qrank.models.convert.folder import Folder
from qrank.models.convert.weights import Weight

if TYPE_CHECKING:
    import gguf

END, TURN_END = "<|endoftext|>", "<|im_end|>"
ANSWERS = ("yes", "no")  # the order of the rows in the head


def is_reranker(folder: Folder) -> bool:
    """Whether it is a reranker: what names a pooling is an embedder."""
    return folder.pooling is None


def tensors(folder: Folder) -> dict[str, tuple[Weight, int | None]]:
    """GGUF name -> (tensor, None: all of its rows). Raises ModelError for one without a place."""
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, folder.number("num_hidden_layers"))
    found: dict[str, tuple[Weight, int | None]] = {}
    for name, weight in folder.weights.items():
        if name.startswith("lm_head."):
            continue  # an embedder has no use for it, a reranker only for two of its rows
        full = name if name.startswith("model.") else f"model.{name}"
        target = names.get_name(full, try_suffixes=(".weight",))
        if target is None:
            raise ModelError(f"{folder.path}: unexpected tensor {name}")
        found[target] = (weight, None)
    return found


def head(folder: Folder) -> tuple[Weight, list[int]]:
    """The output matrix of a reranker, and the rows that answer yes and no."""
    vocabulary = folder.tokenizer["model"]["vocab"]
    missing = [word for word in ANSWERS if word not in vocabulary]
    if missing:
        raise ModelError(f"{folder.path}: the vocabulary has no token for {' and '.join(missing)}")
    embeddings = ("model.embed_tokens.weight", "embed_tokens.weight")
    own = () if folder.config.get("tie_word_embeddings") else ("lm_head.weight",)
    for name in (*own, *embeddings):
        if name in folder.weights:
            return folder.weights[name], [vocabulary[word] for word in ANSWERS]
    raise ModelError(f"{folder.path} has no embedding matrix")


def describe(out: gguf.GGUFWriter, folder: Folder) -> None:
    """Write the metadata: shape, pooling, vocabulary, and a reranker's prompt."""
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
    import gguf

    model = folder.tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        raise ModelError(f"{folder.path} has a {model.get('type')} vocabulary, not Qwen's BPE")
    embeddings = next(w for n, w in folder.weights.items() if n.endswith("embed_tokens.weight"))
    rows = embeddings.shape[0]
    tokens: list[str] = [f"[PAD{i}]" for i in range(rows)]  # the matrix is larger than the list
    types = [int(gguf.TokenType.UNUSED)] * rows
    for token, i in model["vocab"].items():
        tokens[i], types[i] = token, int(gguf.TokenType.NORMAL)
    ids = dict(model["vocab"])
    for added in folder.tokenizer.get("added_tokens", []):
        kind = gguf.TokenType.CONTROL if added.get("special") else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], int(kind)
        ids[added["content"]] = added["id"]
    missing = [token for token in (END, TURN_END) if token not in ids]
    if missing:
        raise ModelError(f"{folder.path}: the vocabulary has no {' and no '.join(missing)}")
    merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges", [])]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges(merges)
    out.add_bos_token_id(ids[END])
    out.add_pad_token_id(ids[END])
    out.add_eos_token_id(ids[TURN_END if reranks else END])
    out.add_add_bos_token(False)
    out.add_add_eos_token(not reranks)
