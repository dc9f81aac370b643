"""The head of a cross-encoder, which turns the pooled state into one logit.

Two layouts are read: `ModernBertForSequenceClassification`, whose head is part of the model, and
modules of sentence-transformers after the pooling (Dense, LayerNorm, Dense, as in the Ettin
rerankers). llama.cpp supports one form for ModernBERT: a dense layer without bias, GELU, a layer
norm with the model's epsilon, a dense layer with one output. Any other head is stored in the
file's metadata under `qrank.head.`, and computed by qrank (qrank/llama/head.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qrank.errors import ModelError
from qrank.models.convert.folder import Folder, Module
from qrank.models.convert.weights import Computed, Weight, weights

if TYPE_CHECKING:
    import gguf

    from qrank.models.convert.weights import Tensor

HEAD_MODULES = ("Dense", "LayerNorm")
# Names in sentence-transformers and transformers -> names in qrank/llama/head.py.
_ACTIVATIONS = {
    "gelu": "gelu",
    "GELU": "gelu",
    "tanh": "tanh",
    "Tanh": "tanh",
    "relu": "relu",
    "ReLU": "relu",
    "silu": "silu",
    "SiLU": "silu",
    "Identity": "identity",
}
_POOLED = "sentence_embedding"  # the name of the modules' input
_NORM_EPSILON = 1e-5  # torch's default, which the LayerNorm module uses


@dataclass(frozen=True, slots=True)
class Step:
    """A dense layer with its activation, or a layer norm with its epsilon."""

    kind: str  # dense or norm
    weight: Weight
    bias: Weight | None = None
    activation: str = "identity"
    epsilon: float = 0.0

    @property
    def name(self) -> str:
        """The step's name in the metadata, such as `norm` or `dense:gelu`."""
        return self.kind if self.kind == "norm" else f"dense:{self.activation}"


def of_classifier(folder: Folder) -> list[Step]:
    """The head of a ModernBertForSequenceClassification."""

    def layer(name: str, kind: str, **more: Any) -> Step:
        tensors = folder.weights
        return Step(kind, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), **more)

    activation = _activation(folder, str(folder.config.get("classifier_activation", "gelu")))
    return [
        layer("head.dense", "dense", activation=activation),
        layer("head.norm", "norm", epsilon=float(folder.config.get("norm_eps", 1e-5))),
        layer("classifier", "dense"),
    ]


def of_modules(folder: Folder) -> list[Step]:
    """The head that consists of sentence-transformers' modules after the pooling."""
    return [_of_module(folder, module) for module in folder.modules if module.kind in HEAD_MODULES]


def _of_module(folder: Folder, module: Module) -> Step:
    tensors = weights(module.path)
    if module.kind == "LayerNorm":
        return Step("norm", tensors["norm.weight"], tensors.get("norm.bias"), epsilon=_NORM_EPSILON)
    config = module.config
    activation_name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    reads = config.get("module_input_name", _POOLED)
    if config.get("use_residual") or reads != _POOLED or not activation_name.startswith("torch."):
        raise ModelError(f"{module.path} is a layer of a kind that can't be converted")
    activation = _activation(folder, activation_name.rpartition(".")[2])
    return Step("dense", tensors["linear.weight"], tensors.get("linear.bias"), activation)


def _activation(folder: Folder, name: str) -> str:
    if name not in _ACTIVATIONS:
        raise ModelError(f"{folder.path}: the head's activation {name} can't be converted")
    return _ACTIVATIONS[name]


def require_whole(folder: Folder, steps: list[Step], size: int) -> None:
    """Raise ModelError unless the sizes of the steps match, and the output is one logit. size: of
    the pooled state."""
    width = size
    for step in steps:
        out = step.weight.shape[0]
        shape = (width,) if step.kind == "norm" else (out, width)
        if step.weight.shape != shape or (step.bias and step.bias.shape != (out,)):
            raise ModelError(f"{folder.path}: the layers of its head do not fit one another")
        width = out
    last = steps[-1]
    if width != 1 or last.kind != "dense" or last.activation != "identity":
        raise ModelError(
            f"{folder.path}: its head ends in {width} values; a reranker has one logit"
        )


def in_graph(steps: list[Step], epsilon: float) -> bool:
    """Whether llama.cpp supports this head for ModernBERT. epsilon: of the model's layer norms."""
    if [step.name for step in steps] != ["dense:gelu", "norm", "dense:identity"]:
        return False
    first, norm, _ = steps
    square = first.weight.shape[0] == first.weight.shape[1]
    return square and first.bias is None and abs(norm.epsilon - epsilon) <= 1e-3 * epsilon


def tensors(steps: list[Step]) -> dict[str, Tensor]:
    """llama.cpp's tensors for a head, by name. There is none for the bias of the norm, which is
    added to the bias of the last layer: W (n + b) + c = W n + (W b + c)."""
    import numpy as np

    first, norm, last = steps
    bias = last.bias.values() if last.bias else np.zeros(1, dtype=np.float32)
    if norm.bias:
        bias = bias + last.weight.values() @ norm.bias.values()
    return {
        "cls.weight": first.weight,
        "cls.norm.weight": norm.weight,
        "cls.output.weight": last.weight,
        "cls.output.bias": Computed(np.asarray(bias, dtype=np.float32)),
    }


def write(out: gguf.GGUFWriter, steps: list[Step]) -> None:
    """Write a head into the metadata, as float32."""
    import gguf

    def numbers(key: str, weight: Weight) -> None:
        out.add_key_value(
            key,
            weight.values().ravel().tolist(),
            gguf.GGUFValueType.ARRAY,
            sub_type=gguf.GGUFValueType.FLOAT32,
        )

    out.add_array("qrank.head.steps", [step.name for step in steps])
    for i, step in enumerate(steps):
        numbers(f"qrank.head.{i}.weight", step.weight)
        if step.bias:
            numbers(f"qrank.head.{i}.bias", step.bias)
        if step.kind == "norm":
            out.add_float32(f"qrank.head.{i}.epsilon", step.epsilon)
