"""Model files and names: the kind comes from the file, and a bad file is one clear line."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import PARITY, Run, complaint

from qrank.errors import ModelError
from qrank.llama.gguf import Kind, read_header
from qrank.models.registry import Registry, Role

Qrank = Callable[..., Run]
HEADER = (PARITY / "cls.gguf").read_bytes()[:300_000]


def test_the_kind_is_read_from_the_file_not_its_name(tmp_path: Path) -> None:
    kinds = {"embed": Kind.embedder, "lm": Kind.causal, "cls": Kind.classifier}
    for name, kind in kinds.items():
        disguised = tmp_path / "Qwen3-Reranker-or-Embedding.gguf"
        disguised.write_bytes((PARITY / f"{name}.gguf").read_bytes())
        assert read_header(disguised).kind is kind


@given(cut=st.integers(min_value=0, max_value=len(HEADER) - 1))
def test_a_file_cut_anywhere_is_refused(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.gguf"
    path.write_bytes(HEADER[:cut])
    with pytest.raises(ModelError, match=r"GGUF|damaged"):
        read_header(path)


@given(at=st.integers(min_value=4, max_value=4000), junk=st.binary(min_size=1, max_size=16))
def test_a_damaged_header_never_crashes(
    at: int, junk: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray((PARITY / "cls.gguf").read_bytes())
    data[at : at + len(junk)] = junk
    path = tmp_path_factory.getbasetemp() / "junk.gguf"
    path.write_bytes(data)
    try:
        read_header(path)
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017  (either outcome is right)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda data: b"", "not a GGUF"),
        (lambda data: b"PK\x03\x04" + data, "not a GGUF"),
        (lambda data: data[:50_000], "truncated"),
        (lambda data: data[:-200_000], "load|cut short"),
        (lambda data: data[:4] + struct.pack("<I", 99) + data[8:], "version 99"),
    ],
    ids=["empty", "zip", "half a header", "half the weights", "a future version"],
)
@pytest.mark.parametrize("command", ["rerank", "embed"])
def test_a_broken_model_file_is_one_line(
    qrank: Qrank, tmp_path: Path, make: Callable[[bytes], bytes], reason: str, command: str
) -> None:
    source = PARITY / ("lm.gguf" if command == "rerank" else "embed.gguf")
    (tmp_path / "model.gguf").write_bytes(make(source.read_bytes()))
    words = ("rerank", "q", "--rerank-model") if command == "rerank" else ("embed", "--embed-model")
    line = complaint(qrank(*words, "./model.gguf", stdin="a"))
    assert "model.gguf" in line
    assert any(part in line for part in reason.split("|"))


def test_a_model_of_the_wrong_kind_is_refused(qrank: Qrank) -> None:
    for name in ("lm", "cls"):
        line = complaint(qrank("embed", "--embed-model", PARITY / f"{name}.gguf", stdin="a"))
        assert "not an embedder" in line
    line = complaint(qrank("rerank", "q", "--rerank-model", PARITY / "embed.gguf", stdin="a"))
    assert "is an embedder, not a reranker" in line


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-such-model", "one of: tiny, qwen3-"),
        ("./missing.gguf", "no model file"),
        ("qwen3-reranker-0.6b", "qrank models pull qwen3-reranker-0.6b"),
        ("qwen3-reranker-0.6b:Q9", "qwen3-reranker-0.6b:Q8_0, qwen3-reranker-0.6b:Q4_K_M"),
        ("hf:owner/repo/file.gguf", "qrank models pull hf:owner/repo/file.gguf"),
        ("hf:owner/repo", "names no file"),
        ("gte-multilingual-reranker-base", "can't be run: llama.cpp has no code"),
    ],
)
def test_a_model_that_is_not_there_is_told_how_to_get(qrank: Qrank, name: str, reason: str) -> None:
    assert reason in complaint(qrank("rerank", "q", "--rerank-model", name, stdin="a"))


def test_a_file_that_is_made_here_is_pulled_as_others_are(qrank: Qrank) -> None:
    line = complaint(qrank("embed", "--embed-model", "qwen3-embedding-0.6b:BF16", stdin="a"))
    assert "get it with: qrank models pull qwen3-embedding-0.6b:BF16" in line


def test_an_installed_model_is_preferred(qrank: Qrank, environment: dict[str, str]) -> None:
    folder = Path(environment["HOME"]) / ".local" / "share" / "qrank" / "models"
    folder.mkdir(parents=True)
    (folder / "qwen3-reranker-0.6b-q8_0.gguf").write_bytes((PARITY / "cls.gguf").read_bytes())
    listed = {(m["alias"], m["kind"]): m for m in qrank("models", "list", "--json").json()}
    assert listed["qwen3-reranker-0.6b", "reranker"]["installed"] is True
    assert listed["qwen3-embedding-0.6b", "embedder"]["installed"] is False
    out = qrank("rerank", "q", "--jsonl", stdin="a tide\n").lines()
    named = qrank(
        "rerank", "q", "--rerank-model", PARITY / "cls.gguf", "--jsonl", stdin="a tide\n"
    ).lines()
    assert out == named


def test_settings_give_way_in_order(qrank: Qrank, environment: dict[str, str]) -> None:
    words = ("rerank", "q", "--jsonl")
    text = "a document about tides and the moon\n"
    by_tiny, by_lm = (
        qrank(*words, "--rerank-model", model, stdin=text).lines()
        for model in ("tiny", PARITY / "lm.gguf")
    )
    assert by_tiny != by_lm
    config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'rerank_model = "{PARITY / "lm.gguf"}"\n', "utf-8")
    assert qrank(*words, stdin=text).lines() == by_lm
    assert qrank(*words, stdin=text, QRANK_RERANK_MODEL="tiny").lines() == by_tiny
    flag = ("--rerank-model", "tiny")
    environment_says = {"QRANK_RERANK_MODEL": str(PARITY / "lm.gguf")}
    assert qrank(*words, *flag, stdin=text, **environment_says).lines() == by_tiny
    config.write_text("rerank_modl = 1\n", "utf-8")
    assert "there is no setting 'rerank_modl'" in complaint(qrank(*words, stdin=text))
    config.write_text("= 1\n", "utf-8")
    assert "is not valid TOML" in complaint(qrank(*words, stdin=text))
    too_long = "/" + 300 * "a"
    said = complaint(qrank(*words, stdin=text, XDG_CONFIG_HOME=too_long))
    assert f"can't read {too_long}/qrank/config.toml" in said


def test_the_registry_is_sound() -> None:
    names = [(entry.role, entry.alias) for entry in Registry().entries]
    assert len(names) == len(set(names))
    for entry in Registry().entries:
        assert 0 < entry.fusion_weight <= 1
        assert 0 < entry.rerank_weight <= 1
        assert (
            entry.source == "bundled"
            or entry.package
            or entry.files
            or (entry.repository or entry.unsupported)
        )
        assert entry.revision is None or re.fullmatch("[0-9a-f]{40}", entry.revision)
        assert entry.license
        for file in entry.files:
            assert file.quantization
            if file.made_of:
                assert file.made_of in entry.files
                continue
            owner, _, rest = file.source.removeprefix("hf:").partition("/")
            assert file.source.startswith("hf:")
            assert owner
            assert rest.count("/") == 1
            assert file.source.endswith(".gguf")
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.revision is None or re.fullmatch("[0-9a-f]{40}", file.revision)
    for role in Role:
        tiny = Registry().resolve(role, "tiny")
        assert tiny.path.is_file()
        assert tiny.path.stat().st_size <= 12_000_000
        assert Registry().better_than(tiny.entry) is not None


def test_a_reranker_is_pulled_as_q8_0_or_better() -> None:
    checked = 0
    for entry in Registry().of_role(Role.reranker):
        for file in entry.files[:1]:  # the one that is taken where none is named
            assert file.quantization in ("F32", "BF16", "F16", "Q8_0"), entry.alias
            checked += 1
    assert checked > 3


def test_users_add_models_of_their_own(qrank: Qrank, environment: dict[str, str]) -> None:
    config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    mine = f'[[reranker]]\nalias = "mine"\nsource = "{PARITY / "cls.gguf"}"\n'
    config.write_text(mine + "rerank_weight = 0.5\n", "utf-8")
    listed = {m["alias"]: m for m in qrank("models", "list", "--json").json()}
    assert listed["mine"]["installed"] is True
    out = qrank(
        "rerank", "a tide", "--rerank-model", "mine", "--jsonl", stdin="a tide\nb\n"
    ).lines()
    alone = ("rerank", "a tide", "--rerank-model", PARITY / "cls.gguf", "--jsonl")
    assert out == qrank(*alone, stdin="a tide\nb\n").lines()  # the same file, whatever its name
    config.write_text(mine + "wieght = 1\n", "utf-8")
    assert "no such fields: wieght" in complaint(qrank("models", "list"))
    config.write_text('[embedder]\nalias = "x"\n', "utf-8")
    assert "[[embedder]]" in complaint(qrank("models", "list"))
