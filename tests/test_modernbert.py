"""ModernBERT in both published layouts: results equal the reference implementations'."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from modernbert_folder import EXPECTED, change, publish
from support import Run, distance, last_complaint, write_safetensors

from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.engine import Model, SpecialTokens
from qrank.llama.gguf import HEAD, Kind, read_header
from qrank.models.convert import convert
from qrank.models.convert.weights import weights
from qrank.prompts import clean
from qrank.settings import ANYWHERE

Qrank = Callable[..., Run]
POOLING = pytest.mark.parametrize("pooling", ["mean", "cls"])


@POOLING
@pytest.mark.parametrize("layout", ["classifier", "modules", "modules-tanh"])
def test_a_reranker_answers_as_the_reference(
    qrank: Qrank, tmp_path: Path, layout: str, pooling: str
) -> None:
    folder = publish(tmp_path / "folder", layout, pooling)
    assert qrank("models", "import", folder, "made.gguf").returncode == 0
    header = read_header(tmp_path / "made.gguf")
    assert header.kind is Kind.cross_encoder
    assert (HEAD in header.metadata) == (layout == "modules-tanh")  # llama.cpp has the other form
    assert distance(tmp_path / "made.gguf", EXPECTED["rank"][f"{layout}-{pooling}"]) <= 2e-3


@POOLING
def test_an_embedder_answers_as_the_reference(qrank: Qrank, tmp_path: Path, pooling: str) -> None:
    folder = publish(tmp_path / "folder", "embedder", pooling)
    assert qrank("models", "import", folder, "made.gguf").returncode == 0
    embedder = LlamaEmbedder(read_header(tmp_path / "made.gguf"), ANYWHERE)
    cases = EXPECTED["embed"][pooling]
    vectors = embedder.documents([case["text"] for case in cases]).vectors
    embedder.close()
    for vector, case in zip(vectors, cases, strict=True):
        assert float(vector @ np.array(case["vec"])) >= 0.9999


def test_token_ids_are_the_reference_s(tmp_path: Path) -> None:
    convert(publish(tmp_path / "folder", "classifier", "mean"), tmp_path / "made.gguf")
    file = read_header(tmp_path / "made.gguf")
    model = Model(file, ANYWHERE)
    special = SpecialTokens(model)
    for case in EXPECTED["tokens"]:
        assert special.text(model.tokens(clean(case["text"])), 4096) == case["ids"]
    for case in EXPECTED["rank"]["modules-cls"]:
        parts = [model.tokens(clean(case[part])) for part in ("query", "doc")]
        assert len(special.pair(*parts, 4096)) == case["n_tokens"]
    model.close()


def test_a_quantised_file_keeps_its_own_head(qrank: Qrank, tmp_path: Path) -> None:
    folder = publish(tmp_path / "folder", "modules-tanh", "cls")
    assert qrank("models", "import", folder, "made.gguf", "--type", "Q8_0").returncode == 0
    assert distance(tmp_path / "made.gguf", EXPECTED["rank"]["modules-tanh-cls"]) <= 2e-2


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def changed(name: str, **fields: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / name, **fields)


def dropped(folder: Path) -> None:
    """A tensor of a layer is not there."""
    arrays = {name: weight.values() for name, weight in weights(folder).items()}
    del arrays["layers.1.mlp.Wo.weight"]
    write_safetensors(folder / "model.safetensors", arrays)


def with_a_bias(folder: Path) -> None:
    arrays = {name: weight.values() for name, weight in weights(folder).items()}
    arrays["layers.0.attn.Wo.bias"] = np.zeros(48, dtype=np.float32)
    write_safetensors(folder / "model.safetensors", arrays)


def smaller(folder: Path) -> None:
    """The matrix of the vocabulary has fewer rows than there are tokens."""
    arrays = {name: weight.values() for name, weight in weights(folder).items()}
    arrays["embeddings.tok_embeddings.weight"] = arrays["embeddings.tok_embeddings.weight"][:1400]
    write_safetensors(folder / "model.safetensors", arrays)


def narrower(folder: Path) -> None:
    arrays = {"linear.weight": np.zeros((1, 32)), "linear.bias": np.zeros(1)}
    write_safetensors(folder / "4_Dense" / "model.safetensors", arrays)


def two_labels(folder: Path) -> None:
    arrays = {"linear.weight": np.zeros((2, 48)), "linear.bias": np.zeros(2)}
    write_safetensors(folder / "4_Dense" / "model.safetensors", arrays)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without("2_Dense/model.safetensors"), "no .safetensors file"),
        (without("4_Dense/config.json"), "activation Tanh|ends in"),
        (changed("2_Dense/config.json", activation_function="torch.nn.Mish"), "Mish"),
        (changed("2_Dense/config.json", activation_function="mine.GELU"), "can't be converted"),
        (changed("2_Dense/config.json", use_residual=True), "can't be converted"),
        (changed("1_Pooling/config.json", pooling_mode="max"), "'max' pooling"),
        (changed("1_Pooling/config.json", pooling_mode="lasttoken"), "last pooling"),
        (changed("config.json", hidden_activation="relu"), "relu"),
        (changed("config.json", layer_types=["full_attention"]), "layer_types"),
        (changed("tokenizer.json", pre_tokenizer={"type": "Metaspace"}), "splits texts"),
        (changed("tokenizer.json", normalizer={"type": "Lowercase"}), "splits texts"),
        (dropped, "layers.1|blk.1|missing"),
        (with_a_bias, "unexpected tensor layers.0.attn.Wo.bias"),
        (smaller, "1400 rows"),
        (narrower, "do not fit"),
        (two_labels, "one logit"),
    ],
)
def test_a_folder_that_cannot_be_imported_is_one_line(
    qrank: Qrank, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    folder = publish(tmp_path / "folder", "modules", "cls")
    spoil(folder)
    line = last_complaint(qrank("models", "import", folder, "made.gguf"))
    assert any(part in line for part in reason.split("|")), line
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_an_embedder_without_a_word_on_pooling_is_refused(qrank: Qrank, tmp_path: Path) -> None:
    folder = publish(tmp_path / "folder", "embedder", "cls")
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    line = last_complaint(qrank("models", "import", folder, "made.gguf"))
    assert "does not say how it pools" in line


def test_a_module_that_is_not_known_is_refused(qrank: Qrank, tmp_path: Path) -> None:
    folder = publish(tmp_path / "folder", "modules", "cls")
    listed = (folder / "modules.json").read_text("utf-8").replace("layer_norm.LayerNorm", "x.Glue")
    (folder / "modules.json").write_text(listed, "utf-8")
    assert "module Glue" in last_complaint(qrank("models", "import", folder, "made.gguf"))
