"""qrank doctor: checks of the machine and the models, and its advice."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import PARITY, Run

from qrank import embed
from qrank.llama import instructions
from qrank.llama.gguf import sha256
from qrank.llama.instructions import missing
from qrank.upkeep.speeds import BATCH, SECONDS, rates

Qrank = Callable[..., Run]


def checks(run: Run) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in run.json()["checks"]}


def test_instructions_that_a_build_lacks() -> None:
    # What /proc/cpuinfo of a processor says, and llama.cpp's line of a build for any of them.
    x86 = {"sse3", "avx", "avx2", "f16c", "fma", "bmi2", "avx512f", "avx512_vnni"}
    assert missing("CPU : SSE3 LLAMAFILE OPENMP", x86) == [
        *("AVX", "AVX2", "F16C", "FMA", "BMI2", "AVX512", "AVX512_VNNI")
    ]
    arm = {"asimd", "asimddp", "i8mm"}
    assert missing("CPU : NEON ARM_FMA DOTPROD", arm) == ["MATMUL_INT8"]
    assert missing("CPU : NEON ARM_FMA DOTPROD MATMUL_INT8", arm) == []
    # A feature is a whole word: AVX512 is not AVX.
    assert missing("CPU : AVX512_VNNI", {"avx", "avx512f"}) == ["AVX", "AVX512"]


@pytest.fixture
def amx_is_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A build with AMX, which this cache folder knows nothing of."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("qrank.llama.binding.system_info", lambda: "CPU : AVX512 AMX_INT8")
    instructions.amx_crashes.cache_clear()
    yield
    instructions.amx_crashes.cache_clear()


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
@pytest.mark.usefixtures("amx_is_built_in")
def test_amx_code_that_ends_the_process_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    python = tmp_path / "python"
    monkeypatch.setattr("sys.executable", str(python))
    # Killed for another reason, it is tried again; the answer of a crash is kept.
    for end, tried in (("KILL", 1), ("SEGV", 2), ("SEGV", 2)):
        python.write_text(f"#!/bin/sh\necho called >> {calls}\nkill -{end} $$\n")
        python.chmod(0o755)
        instructions.amx_crashes.cache_clear()  # as in the next process
        assert instructions.amx_crashes()
        assert calls.read_text() == "called\n" * tried
    assert len(embed(["tea"])) == 1  # computed without


@pytest.mark.usefixtures("amx_is_built_in")
def test_the_trial_of_amx_code_computes() -> None:
    try_it = subprocess.run(
        [sys.executable, "-m", "qrank.llama.instructions"], capture_output=True, check=False
    )
    assert instructions.amx_crashes() == (try_it.returncode != 0)
    assert try_it.returncode in (0, -signal.SIGSEGV)


def test_a_healthy_machine(qrank: Qrank) -> None:
    run = qrank("doctor", "--json")
    assert run.returncode == 0
    assert run.json()["ok"] is True
    assert run.stderr == ""  # not the log of llama.cpp
    found = checks(run)
    assert "FTS5" in found["sqlite"]["detail"]
    assert "llama-cpp-python 0.3" in found["llama.cpp"]["detail"]
    assert "ggml 0" in found["llama.cpp"]["detail"]
    assert "GB" in found["device CPU"]["detail"]
    assert "kind 1" in found["model tiny (reranker)"]["detail"]
    for role in ("embedder", "reranker"):
        check = found[f"self-test of the {role}"]
        assert check["status"] == "ok"
        assert "3 of 3 test pairs" in check["detail"]


@pytest.mark.parametrize(
    ("spoil", "check", "reason"),
    [
        ("embed.gguf", "model qwen3-reranker-0.6b (reranker)", "is embedder, not the reranker"),
        ("half", "model qwen3-reranker-0.6b", "truncated or damaged"),
    ],
)
def test_a_broken_model_is_found(
    qrank: Qrank, environment: dict[str, str], spoil: str, check: str, reason: str
) -> None:
    folder = Path(environment["HOME"]) / ".local/share/qrank/models"
    folder.mkdir(parents=True)
    file = folder / "qwen3-reranker-0.6b-q8_0.gguf"
    if spoil == "half":
        file.write_bytes((PARITY / "cls.gguf").read_bytes()[:100_000])
    else:
        shutil.copy(PARITY / spoil, file)
    run = qrank("doctor", "--json")
    assert (run.returncode, run.json()["ok"]) == (1, False)
    found = checks(run)
    assert found[check]["status"] == "fail"
    assert reason in found[check]["detail"]
    assert found[check]["hint"]
    # It is the one that `auto` would take: so the self-test fails, too.
    assert found["self-test of the reranker"]["status"] == "fail"


def test_a_reranker_that_knows_nothing_is_told(qrank: Qrank) -> None:
    run = qrank("doctor", "--json", QRANK_RERANK_MODEL=str(PARITY / "lm.gguf"))  # random weights
    assert checks(run)["self-test of the reranker"]["status"] in ("warn", "fail")


def test_models_are_measured_and_the_fast_one_recommended(
    qrank: Qrank, environment: dict[str, str]
) -> None:
    words = ("models", "bench", PARITY / "embed.gguf", "--types", "F16", "--json")
    (report,) = qrank(*words).json()
    assert report["kind"] == "embedder"
    assert [speed["quantization"] for speed in report["speeds"]] == ["F32", "F16"]
    assert all(speed["tokens_per_second"] > 0 for speed in report["speeds"])
    assert report["recommended"] in ("F32", "F16")
    assert "unknown type 'Q9'" in qrank("models", "bench", "--types", "Q9").stderr


def test_a_measured_speed_is_of_a_files_content_on_one_machine(
    qrank: Qrank, environment: dict[str, str]
) -> None:
    folder = Path(environment["HOME"]) / ".local/share/qrank/models"
    folder.mkdir(parents=True)
    file = folder / "qwen3-reranker-0.6b-q8_0.gguf"
    shutil.copy(PARITY / "cls.gguf", file)

    def known() -> float | None:
        models = qrank("models", "list", "--role", "reranker", "--json").json()
        return next(m for m in models if m["alias"] == "qwen3-reranker-0.6b")["tokens_per_second"]

    def bench(*options: str) -> float:
        (report,) = qrank("models", "bench", "qwen3-reranker-0.6b", "--json", *options).json()
        return report["speeds"][0]["tokens_per_second"]

    bench("--threads", "1")  # holds for that number of threads alone
    assert known() is None
    measured = bench()
    assert known() == measured
    cache = Path(environment["HOME"]) / ".cache" / "qrank" / "cache.db"
    with closing(sqlite3.connect(cache, isolation_level=None)) as db:
        (of,) = db.execute("SELECT model FROM measured_speed").fetchone()
        assert of == sha256(file)
        db.execute("UPDATE measured_speed SET machine = 'another one'")
        assert known() is None
    bench()
    assert known()
    shutil.copy(PARITY / "lm.gguf", file)  # another model at the same place
    assert known() is None


class Slow:
    """A model that takes so many seconds by its own clock for a text of 200 tokens."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.decoded = seconds, 0.0, 0

    def run(self, count: int) -> None:
        assert 1 <= count <= BATCH
        self.now += count * self.seconds
        self.decoded += count * 200


@pytest.mark.parametrize("seconds", [0.001, 0.1, 1.0, 2.9, 20.0])
def test_a_slow_model_is_measured_within_a_minute(seconds: float) -> None:
    model = Slow(seconds)
    tokens, texts = rates(model, clock=lambda: model.now)
    assert (tokens, texts) == (pytest.approx(200 / seconds), pytest.approx(1 / seconds))
    assert model.now <= max(2 * seconds, 3 * SECONDS)
