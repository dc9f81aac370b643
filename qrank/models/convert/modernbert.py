"""ModernBERT -> GGUF: an embedder, or a cross-encoder (gte-reranker, Ettin, Granite).

Source of names and fields: llama.cpp's conversion/bert.py and src/models/modern-bert.cpp. Unlike
there, a head of sentence-transformers' modules is converted, too (qrank/models/convert/heads.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qrank.errors import ModelError
from qrank.models.convert import byte_pairs, heads
from qrank.models.convert.folder import Folder

if TYPE_CHECKING:
    import gguf

    from qrank.models.convert.weights import Tensor

MODULES = heads.HEAD_MODULES
_ROLES = {"[CLS]": "bos", "[SEP]": "eos", "[UNK]": "unk", "[PAD]": "pad", "[MASK]": "mask"}
_OF_HEAD = ("head.", "classifier.", "decoder.")  # "decoder.": for masked language modelling


def is_reranker(folder: Folder) -> bool:
    """Whether the model is a cross-encoder, by its class or its modules."""
    return folder.architecture == "ModernBertForSequenceClassification" or any(
        module.kind in heads.HEAD_MODULES for module in folder.modules
    )


def _head(folder: Folder) -> list[heads.Step]:
    modules = any(module.kind in heads.HEAD_MODULES for module in folder.modules)
    steps = heads.of_modules(folder) if modules else heads.of_classifier(folder)
    heads.require_whole(folder, steps, folder.number("hidden_size"))
    return steps


def _epsilon(folder: Folder) -> float:
    return float(folder.config.get("norm_eps", 1e-5))


def tensors(folder: Folder) -> dict[str, tuple[Tensor, int | None]]:
    """GGUF name -> (tensor, None: all of its rows). Raises ModelError for an unexpected tensor."""
    import gguf

    layers = folder.number("num_hidden_layers")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MODERN_BERT, layers)
    result: dict[str, tuple[Tensor, int | None]] = {}
    for name, weight in folder.weights.items():
        if name.startswith(_OF_HEAD):
            continue
        target = names.get_name(name.removeprefix("model."), try_suffixes=(".weight",))
        if target is None:
            raise ModelError(
                f"{folder.path}: unexpected tensor {name}"
                + (" (llama.cpp's ModernBERT has no biases)" if name.endswith(".bias") else "")
            )
        result[target] = (weight, None)
    if is_reranker(folder) and heads.in_graph(steps := _head(folder), _epsilon(folder)):
        result |= {name: (tensor, None) for name, tensor in heads.tensors(steps).items()}
    return result


def context(folder: Folder) -> int:
    """The longest sequence of the model, in tokens."""
    return min(folder.number("max_position_embeddings"), folder.max_tokens or 1 << 30)


def describe(out: gguf.GGUFWriter, folder: Folder) -> None:
    """Write the metadata: shape, attention, pooling, head, vocabulary. Raises ModelError for what
    llama.cpp does not support."""
    config = folder.config
    layers = folder.number("num_hidden_layers")
    out.add_context_length(context(folder))
    out.add_embedding_length(folder.number("hidden_size"))
    out.add_block_count(layers)
    out.add_feed_forward_length(folder.number("intermediate_size"))
    out.add_head_count(folder.number("num_attention_heads"))
    out.add_layer_norm_eps(_epsilon(folder))
    out.add_causal_attention(False)
    activation = config.get("hidden_activation", "gelu")
    if activation not in ("gelu", "silu"):
        raise ModelError(f"{folder.path} uses {activation}, which llama.cpp does not support here")
    out.add_string("modern-bert.hidden_activation", activation)
    _attention(out, folder, layers)
    _pooling(out, folder)
    _vocabulary(out, folder)


def _attention(out: gguf.GGUFWriter, folder: Folder, layers: int) -> None:
    """Write which layers have a sliding window, its size, and the rotary bases."""
    import gguf

    config = folder.config
    kinds = config.get("layer_types")
    if kinds is None:
        every = int(config.get("global_attn_every_n_layers") or 3)
        local = [layer % every != 0 for layer in range(layers)]
    else:
        local = [kind == "sliding_attention" for kind in kinds]
    if len(local) != layers:
        raise ModelError(f"{folder.path}: layer_types names {len(local)} layers of {layers}")
    out.add_sliding_window(folder.number("local_attention"))
    out.add_array("modern-bert.attention.sliding_window_pattern", [int(each) for each in local])
    global_base, local_base = _rotary(folder)
    out.add_rope_freq_base(global_base)
    out.add_rope_freq_base_swa(local_base)
    out.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def _rotary(folder: Folder) -> tuple[float, float]:
    """The rotary bases of layers with global attention, and of those with a sliding window."""
    config = folder.config
    bases: list[float] = []
    for kind, old, default in (
        ("full_attention", "global_rope_theta", 160_000.0),
        ("sliding_attention", "local_rope_theta", 10_000.0),
    ):
        parameters: dict[str, Any] = (config.get("rope_parameters") or {}).get(kind) or {}
        if parameters.get("rope_type", "default") != "default" or config.get("rope_scaling"):
            raise ModelError(f"{folder.path} scales its positions, which is not supported")
        bases.append(float(parameters.get("rope_theta") or config.get(old) or default))
    return bases[0], bases[1]


def _pooling(out: gguf.GGUFWriter, folder: Folder) -> None:
    import gguf

    kinds = {"mean": gguf.PoolingType.MEAN, "cls": gguf.PoolingType.CLS}
    reranks = is_reranker(folder)
    pooling = folder.pooling
    if pooling is None and reranks:
        pooling = str(folder.config.get("classifier_pooling", "cls"))
    if pooling not in kinds:
        raise ModelError(
            f"{folder.path}: {pooling} pooling is not supported for ModernBERT"
            if pooling
            else f"{folder.path} does not say how it pools, so it is no embedder"
        )
    if not reranks:
        out.add_pooling_type(kinds[pooling])
        return
    steps = _head(folder)
    if not heads.in_graph(steps, _epsilon(folder)):
        out.add_pooling_type(kinds[pooling])
        heads.write(out, steps)
        return
    out.add_pooling_type(gguf.PoolingType.RANK)
    out.add_uint32("modern-bert.classifier.pooling_type", int(kinds[pooling]))
    out.add_classifier_output_labels(["LABEL_0"])


def _vocabulary(out: gguf.GGUFWriter, folder: Folder) -> None:
    """Write byte-level BPE with GPT-2's pre-tokenizer; a text is [CLS] text [SEP]."""
    splits = folder.tokenizer.get("pre_tokenizer") or {}
    normal = (folder.tokenizer.get("normalizer") or {}).get("type")
    plain = splits.get("type") == "ByteLevel" and splits.get("use_regex", True)
    if not plain or splits.get("add_prefix_space") or normal not in (None, "NFC"):
        raise ModelError(f"{folder.path} splits texts in a way that can't be converted")
    rows = next((w for n, w in folder.weights.items() if n.endswith("tok_embeddings.weight")), None)
    if rows is None:
        raise ModelError(f"{folder.path} has no embedding matrix")
    vocabulary = byte_pairs.read(folder, rows.shape[0])
    missing = [token for token in _ROLES if token not in vocabulary.ids]
    if missing:
        raise ModelError(f"{folder.path}: the vocabulary has no {' and no '.join(missing)}")
    vocabulary.write(out, "modern-bert")
    for token, role in _ROLES.items():
        getattr(out, f"add_{role}_token_id")(vocabulary.ids[token])
    out.add_sep_token_id(vocabulary.ids["[SEP]"])
    out.add_add_bos_token(True)
    out.add_add_eos_token(True)
    out.add_add_sep_token(True)
