"""Inference against llama.cpp's own speed, in one run.

    python benchmarks/inference.py [--size small|0.6b|minilm|e5-small ...] [--quant Q8_0 ...]
                                   [--runs 3] [--processor] [--folder DIR]

Raw is llama_decode of the same batches without any output. Naive is what most programs do:
`Llama.embed` a text at a time, and the whole prompt for each query-document pair. The jobs take
turns, and the ratios of their medians are printed: they mean more than the times. On a busy
machine use --processor, which measures processor time. Needs `gguf`.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from bench_models import BERT_SHAPES, QUANTS, SHAPES, bert_model, model

from qrank import prompts
from qrank.llama.binding import llama
from qrank.llama.context import BATCH_SEQUENCES, BATCH_TOKENS, _flat, _llama_batch
from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.engine import Model, SpecialTokens
from qrank.llama.gguf import read_header
from qrank.llama.reranker import LlamaReranker
from qrank.prompts import clean
from qrank.settings import ANYWHERE

SAMPLE = Path(__file__).parents[1] / "sample_corpus"
WORDS = ["words of some length " * repeats for repeats in (10, 20, 40, 60, 80)] * 2
QUERY = "how long can a sourdough starter be kept in the fridge before it must be fed"


def texts(vocabulary: Model, count: int, least: int, most: int) -> list[str]:
    """count excerpts of the sample's English text, least to most tokens long."""
    words = " ".join(p.read_text("utf-8") for p in sorted(SAMPLE.glob("science/*"))).split()
    pick = random.Random(0)
    excerpts = []
    for _ in range(count):
        length, at = pick.randint(least, most), pick.randrange(len(words) - most)
        text = " ".join(words[at : at + length])
        tokens = len(vocabulary.tokens(text))
        excerpts.append(" ".join(words[at : at + max(1, length * length // max(tokens, 1))]))
    return excerpts


class Raw:
    """llama_decode of full batches without outputs: the upper limit on this machine."""

    def __init__(
        self,
        path: Path,
        batch_tokens: int = BATCH_TOKENS,
        flash: bool = False,
        *,
        model: Model | None = None,
        threads: int = 0,
    ) -> None:
        """threads: 0 for all."""
        self.model = model or Model(read_header(path), ANYWHERE)
        self.batch_tokens = batch_tokens
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = 2 * batch_tokens
        parameters.n_batch = parameters.n_ubatch = batch_tokens
        parameters.n_seq_max = 64
        parameters.kv_unified = True
        parameters.flash_attn_type = int(flash)
        parameters.embeddings = not self.model.file.causal  # an encoder has an output per token
        parameters.n_threads = parameters.n_threads_batch = threads or self.model.threads
        self.context = llama.llama_init_from_model(self.model.handle, parameters)
        if not self.context:
            raise MemoryError(f"not enough memory for batches of {batch_tokens} tokens")

    def close(self) -> None:
        llama.llama_free(self.context)

    def decode(self, sequences: list[list[int]]) -> None:
        batch: list[list[int]] = []
        for sequence in [*sequences, None]:
            full = sequence is None or sum(map(len, batch)) + len(sequence) > self.batch_tokens
            if batch and (full or len(batch) == BATCH_SEQUENCES):
                self._decode_batch(batch)
                batch = []
            batch.append(sequence or [])
        llama.llama_synchronize(self.context)  # llama_decode returns before a GPU is done

    def _decode_batch(self, sequences: list[list[int]]) -> None:
        llama.llama_memory_clear(llama.llama_get_memory(self.context), False)
        tokens, positions, owners, _ = _flat(sequences, first_owner=0)
        outputs = np.full(len(tokens), not self.model.file.causal, dtype=np.bool_)
        batch, _arrays = _llama_batch(tokens, positions, owners, outputs, None)
        if llama.llama_decode(self.context, batch):
            raise SystemExit("llama_decode failed")


def measure(
    jobs: dict[str, Callable[[], object]],
    runs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The median seconds of each job; they take turns, and the first turn is not counted."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(runs + 1):
        for name, job in jobs.items():
            started = clock()
            job()
            if turn:
                times[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def embedding(path: Path, count: int, runs: int, clock: Callable[[], float]) -> None:
    from llama_cpp import Llama

    raw = Raw(path, flash=True)
    limit = min(BATCH_TOKENS, raw.model.file.context_length)
    embedder = LlamaEmbedder(read_header(path), ANYWHERE)
    documents = texts(raw.model, count, 50, 400)
    special = SpecialTokens(raw.model)
    sequences = [special.text(raw.model.tokens(clean(d)), limit) for d in documents]
    tokens = sum(map(len, sequences))
    raws = {
        "raw": raw,
        "raw, one thread": Raw(path, flash=True, model=raw.model, threads=1),
        "raw, without flash attention": Raw(path, model=raw.model),
    }
    jobs: dict[str, Callable[[], object]] = {
        name: partial(each.decode, sequences) for name, each in raws.items()
    }
    jobs["qrank"] = lambda: embedder.documents(documents)
    counts = dict.fromkeys(jobs, tokens)
    if raw.model.file.causal:
        naive = Llama(str(path), embedding=True, n_ctx=1024, n_batch=1024, verbose=False)
        some = documents[: max(4, count // 8)]
        jobs["Llama.embed"] = lambda: [naive.embed(text) for text in some]
        counts["Llama.embed"] = sum(map(len, sequences[: len(some)]))
    seconds = measure(jobs, runs, clock)
    rates = {name: counts[name] / time_ for name, time_ in seconds.items()}
    best = max(rate for name, rate in rates.items() if name in raws)
    print(f"embedding {count} texts, {tokens} tokens")
    for name, rate in rates.items():
        print(f"  {name:<28} {rate:8.0f} tokens/s   {rate / best:.3f} of the best raw")
    if clock is time.perf_counter:
        command = command_rate(path, documents, tokens)
        print(f"  qrank embed (without loading) {command / best:.3f} of the best raw")


def command_rate(path: Path, documents: list[str], tokens: int) -> float:
    """Tokens a second of `qrank embed`, less the time of a run with one short text."""
    command = [sys.executable, "-m", "qrank", "embed", "--embed-model", str(path)]

    def run(lines: list[str]) -> float:
        data = "".join(json.dumps({"text": line}) + "\n" for line in lines)
        started = time.perf_counter()
        subprocess.run(command, input=data.encode(), check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    run(["a"])
    return tokens / (run(documents) - run(["a"]))


def reranking(path: Path, count: int, runs: int, clock: Callable[[], float]) -> None:
    raw = Raw(path)
    reranker = LlamaReranker(read_header(path), ANYWHERE)
    documents = texts(raw.model, count, 150, 300)
    head = raw.model.tokens(prompts.RERANK_PREFIX, special=True) + raw.model.tokens(
        "".join(prompts.rerank_question(QUERY))
    )
    tail = raw.model.tokens(prompts.RERANK_SUFFIX, special=True)
    bodies = [raw.model.tokens(clean(prompts.rerank_document(d))) + tail for d in documents]
    once = len(head) + sum(map(len, bodies))
    whole = [head + body for body in bodies]
    seconds = measure(
        {
            "raw": lambda: raw.decode([head, *bodies]),
            "qrank": lambda: list(reranker.scores(QUERY, documents)),
            "naive": lambda: raw.decode(whole),  # in its favour: without outputs
        },
        runs,
        clock,
    )
    print(f"reranking {count} documents, {once} tokens with the prefix ({len(head)}) once")
    print(f"  qrank's time / raw time {seconds['qrank'] / seconds['raw']:.3f}")
    print(f"  naive batch / qrank {seconds['naive'] / seconds['qrank']:.2f}")
    ordered = [s for batch in reranker.scores(QUERY, documents) for s in batch]
    mixed = [s for batch in reranker.scores(QUERY, documents[::-1]) for s in batch][::-1]
    alone = [next(iter(reranker.scores(QUERY, [d])))[0] for d in documents[:6]]
    moved = max(abs(a - b) for a, b in zip(ordered, mixed, strict=True))
    apart = max(abs(a - b) for a, b in zip(ordered, alone, strict=False))
    print(f"  largest change of a score: other order {moved:.1e}, alone {apart:.1e}")


def memory(path: Path, job: str) -> None:
    """Print the peak resident memory of a process that does the job."""
    script = f"import inference; from pathlib import Path; inference.{job}(Path({str(path)!r}))"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, check=True, capture_output=True
    )
    peak = int(run.stdout.split()[-1]) / 1e6
    size = path.stat().st_size / 1e6
    print(f"  peak memory {peak:.0f} MB, {peak - size:.0f} MB above the model file ({job})")


def _peak() -> None:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage includes the parent's memory at the time of the fork
        [line] = [x for x in status.read_text().splitlines() if x.startswith("VmHWM:")]
        print(int(line.split()[1]) * 1024)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def embed_once(path: Path) -> None:
    LlamaEmbedder(read_header(path), ANYWHERE).documents(WORDS)
    _peak()


def rerank_once(path: Path) -> None:
    list(LlamaReranker(read_header(path), ANYWHERE).scores(QUERY, WORDS))
    _peak()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=[*SHAPES, *BERT_SHAPES], default="small")
    parser.add_argument("--quant", nargs="+", choices=QUANTS, default=["Q8_0"])
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--documents", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "qrank-bench")
    parser.add_argument("--processor", action="store_true", help="measure processor time")
    options = parser.parse_args()
    clock = time.process_time if options.processor else time.perf_counter
    if options.size in BERT_SHAPES:
        print(f"== {options.size} Q8_0")
        encoder = bert_model(options.folder, BERT_SHAPES[options.size])
        embedding(encoder, options.texts, options.runs, clock)
        memory(encoder, "embed_once")
        return
    for quant in options.quant:
        print(f"== {options.size} {quant}")
        embedder = model(options.folder, SHAPES[options.size], "embed", quant)
        causal = model(options.folder, SHAPES[options.size], "lm", quant)
        embedding(embedder, options.texts, options.runs, clock)
        memory(embedder, "embed_once")
        reranking(causal, options.documents, options.runs, clock)
        memory(causal, "rerank_once")


if __name__ == "__main__":
    main()
