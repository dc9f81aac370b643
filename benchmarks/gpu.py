"""Inference on a GPU: rates by model size, batch size and flash attention, and how far the
results differ from the CPU's.

    python benchmarks/gpu.py [--sizes 0.6b 4b 8b] [--seconds 150] [--folder DIR] [--out DIR]

Needs llama.cpp built for the GPU, and `gguf`. Raw is llama_decode of the same batches with the
same settings and without outputs. The files are random weights in Q8_0; `tiny` is the bundled
pair. Each result is written to gpu.json and gpu.txt when it is there; measurements for which no
time is left are skipped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import bench_models
import numpy as np
from inference import QUERY, Raw, texts

from qrank import prompts
from qrank.llama import devices
from qrank.llama.context_pool import ContextPool
from qrank.llama.cores import default_threads
from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.engine import Model, SpecialTokens
from qrank.llama.gguf import read_header
from qrank.llama.reranker import LlamaReranker
from qrank.prompts import clean
from qrank.settings import ANYWHERE, Placement

# (tokens of a batch, flash attention); without it 8192 tokens would need 30 GB for their scores
SETTINGS = ((2048, True), (4096, True), (8192, True), (2048, False), (4096, False))
COUNTS = {"small": 60, "0.6b": 240, "4b": 120, "8b": 72}  # texts: about a second on an H100
SHARES = {"0.6b": 0.3, "4b": 0.6, "8b": 1.0}  # of --seconds: when a size has to stop
CANDIDATES = 30
COMPARED = ("small", "0.6b")  # with the CPU, which takes too long for larger ones
CPU = Placement(gpu_layers=0)


class Report:
    """The results; files are written after each."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.started = time.perf_counter()
        self.seconds = seconds
        self.rows: list[dict[str, Any]] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def add(self, **row: Any) -> None:
        """Add a result and write all."""
        self.rows.append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
        line = " ".join(f"{k}={_short(v)}" for k, v in row.items())
        print(f"{self.elapsed:6.1f} s  {line}", flush=True)
        (self.folder / "gpu.json").write_text(json.dumps(self.rows, indent=1))
        with (self.folder / "gpu.txt").open("a") as table:
            print(line, file=table)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def gpu_free() -> int:
    """Free bytes of the first device that is not the CPU; 0 without one."""
    return next((d.free for d in devices.devices() if d.name.lower() != devices.CPU), 0)


def turns(jobs: dict[str, Callable[[], object]], least: int, seconds: float) -> dict[str, float]:
    """The median seconds of each job.

    The jobs take turns: at least `least` turns, and more until `seconds` have passed. The first
    turn is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    started = 0.0
    for turn in range(100):
        if turn == 1:
            started = time.perf_counter()
        if turn > least and time.perf_counter() - started > seconds:
            break
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def configure(pool: ContextPool[Any], batch_tokens: int, flash: bool) -> None:
    """Set the batch size and flash attention of a pool's contexts; they are created anew."""
    pool.batch_tokens = batch_tokens
    for context in pool._contexts:
        context.close()
        context.batch_tokens, context.flash_attention = batch_tokens, flash


def beside_raw(
    report: Report,
    setting: dict[str, Any],
    path: Path,
    model: Model,
    sequences: list[list[int]],
    jobs: dict[str, Callable[[], object]],
) -> dict[str, float]:
    """The median seconds of jobs and of the raw decoding of sequences; {} when one failed."""
    try:
        with closing(Raw(path, setting["batch"], setting["flash"], model=model)) as raw:
            return turns({"raw": lambda: raw.decode(sequences)} | jobs, 2, 0.6)
    except Exception as error:  # go on with the other settings
        report.add(**setting, failed=repr(error))
        return {}


def embedding(report: Report, name: str, path: Path, count: int, until: float) -> None:
    """Rates of an embedder for each batch size, with and without flash attention."""
    free = gpu_free()
    start = time.perf_counter()
    embedder = LlamaEmbedder(read_header(path), ANYWHERE)
    loaded = time.perf_counter() - start
    embedder.documents(["a text"])
    first = time.perf_counter() - start
    with closing(embedder):
        documents = texts(embedder._model, count, 50, 400)
        special = SpecialTokens(embedder._model)
        sequences = [special.text(embedder._model.tokens(clean(d)), 8192) for d in documents]
        tokens = sum(map(len, sequences))
        report.add(
            model=name,
            role="embed",
            load_s=loaded,
            first_vector_s=first,
            on_gpu=embedder._model.on_gpu,
        )
        for batch, flash in SETTINGS:
            if report.elapsed > until:
                return
            configure(embedder._contexts, batch, flash)
            setting = {"model": name, "role": "embed", "batch": batch, "flash": flash}
            jobs = {"qrank": lambda: embedder.documents(documents)}
            seconds = beside_raw(report, setting, path, embedder._model, sequences, jobs)
            if not seconds:
                continue
            report.add(
                **setting,
                tokens=tokens,
                tokens_s=round(tokens / seconds["qrank"]),
                texts_s=count / seconds["qrank"],
                raw_tokens_s=round(tokens / seconds["raw"]),
                of_raw=seconds["raw"] / seconds["qrank"],
                gpu_mb=round((free - gpu_free()) / 1e6),
            )


def reranking(report: Report, name: str, path: Path, count: int, until: float) -> None:
    """Rates of a reranker for each batch size, and the time for the candidates of one search."""
    free = gpu_free()
    start = time.perf_counter()
    reranker = LlamaReranker(read_header(path), ANYWHERE)
    loaded = time.perf_counter() - start
    list(reranker.scores(QUERY, ["a text"]))
    first = time.perf_counter() - start
    model = reranker._model
    with closing(reranker):
        documents = texts(model, count, 150, 300)
        head = model.tokens(prompts.RERANK_PREFIX, special=True) + model.tokens(
            "".join(prompts.rerank_question(QUERY))
        )
        tail = model.tokens(prompts.RERANK_SUFFIX, special=True)
        bodies = [model.tokens(clean(prompts.rerank_document(d))) + tail for d in documents]
        once = len(head) + sum(map(len, bodies))
        report.add(model=name, role="rerank", load_s=loaded, first_score_s=first)
        for batch, flash in SETTINGS:
            if report.elapsed > until:
                return
            configure(reranker._ranker.contexts, batch, flash)
            setting = {"model": name, "role": "rerank", "batch": batch, "flash": flash}
            jobs = {
                "qrank": lambda: list(reranker.scores(QUERY, documents)),
                "search": lambda: list(reranker.scores(QUERY, documents[:CANDIDATES])),
            }
            seconds = beside_raw(report, setting, path, model, [head, *bodies], jobs)
            if not seconds:
                continue
            report.add(
                **setting,
                tokens=once,
                candidates_s=count / seconds["qrank"],
                search_s=seconds["search"],
                raw_tokens_s=round(once / seconds["raw"]),
                of_raw=seconds["raw"] / seconds["qrank"],
                gpu_mb=round((free - gpu_free()) / 1e6),
            )


def agreement(report: Report, name: str, embed: Path | None, rerank: Path | None) -> None:
    """How far the GPU's results are from the CPU's, with and without flash attention."""
    results: dict[str, Any] = {}
    for place, placement, flash in (
        ("cpu", CPU, False),
        ("gpu_flash", ANYWHERE, True),
        ("gpu", ANYWHERE, False),
    ):
        start = time.perf_counter()
        if embed:
            with closing(LlamaEmbedder(read_header(embed), placement)) as embedder:
                documents = texts(embedder._model, 16, 50, 400)
                configure(embedder._contexts, embedder._contexts.batch_tokens, flash)
                results[place] = embedder.documents(documents).vectors
        if rerank:
            with closing(LlamaReranker(read_header(rerank), placement)) as reranker:
                documents = texts(reranker._model, 16, 150, 300)
                pool = reranker._ranker.contexts
                configure(pool, pool.batch_tokens, flash)
                scores = [s for batch in reranker.scores(QUERY, documents) for s in batch]
                results[place] = np.array(scores)
        results[place + "_s"] = time.perf_counter() - start
    for place in ("gpu_flash", "gpu"):
        row = {"model": name, "compared": place, "cpu_s": results["cpu_s"]}
        if embed:
            cosines = (results[place] * results["cpu"]).sum(axis=1)
            report.add(**row, least_cosine=float(cosines.min()))
        else:
            differences = np.abs(results[place] - results["cpu"])
            report.add(
                **row,
                most_apart=float(differences.max()),
                mean_apart=float(differences.mean()),
                spread=float(np.ptp(results["cpu"])),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", choices=bench_models.SHAPES, default=list(SHARES))
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "qrank-bench")
    parser.add_argument("--texts", type=int, default=240, help="embedded at most")
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--make", action="store_true", help="only make the model files")
    options = parser.parse_args()
    paths = {}
    start = time.perf_counter()
    for size in options.sizes:
        paths[size] = bench_models.quick_model(options.folder, bench_models.SHAPES[size])
    if options.make:
        print(f"made in {time.perf_counter() - start:.1f} s: {[str(p) for p in paths.values()]}")
        return
    report = Report(options.out, options.seconds)
    for device in devices.devices():
        report.add(device=device.name, what=device.description, total_mb=device.total // 10**6)
    report.add(build=devices.build(), threads=default_threads())
    folder = bench_models.BUNDLED
    bundled = {"embed": folder / "tiny-embedding.gguf", "lm": folder / "tiny-reranker.gguf"}

    def bundled_agreement(_: float) -> None:
        agreement(report, "tiny", bundled["embed"], None)
        agreement(report, "tiny", None, bundled["lm"])

    def bundled_rates(until: float) -> None:
        reranking(report, "tiny", bundled["lm"], min(60, options.texts), until)
        embedding(report, "tiny", bundled["embed"], options.texts, until)

    def both_roles(size: str, until: float) -> None:
        path, count = paths[size], min(options.texts, COUNTS[size])
        bench_models.set_role(path, "lm")
        reranking(report, size, path, min(60, count), until)
        if size in COMPARED:
            agreement(report, size, None, path)
        bench_models.set_role(path, "embed")
        embedding(report, size, path, count, until)
        if size in COMPARED:
            agreement(report, size, path, None)

    jobs: list[tuple[str, Callable[[float], None]]] = [("tiny", bundled_agreement)]
    jobs += [(size, partial(both_roles, size)) for size in paths]
    jobs += [("tiny", bundled_rates)]
    for name, job in jobs:
        try:
            job(options.seconds * SHARES.get(name, 1.0))
        except Exception as error:  # go on with the other models
            report.add(model=name, failed=repr(error))
    print(f"{report.elapsed:.0f} s")


if __name__ == "__main__":
    main()
