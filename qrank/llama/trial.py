"""How fast this machine computes with matrices of each type: measured with one layer of the shape
that Qwen3-Embedding-0.6B has, of random weights.

Which type is the fastest depends on the processor's instructions, and hardly on the model: so
nothing is downloaded to find it out. What is measured is the processor time of one thread, since
the clock tells more about other programs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from qrank.llama import gguf as headers
from qrank.llama.context import DecoderContext, pooled
from qrank.llama.engine import Model
from qrank.llama.quantize import quantize
from qrank.settings import Placement

CPU = Placement(device="cpu")
WIDTH, HEADS, KEY_HEADS, HEAD, BETWEEN, WORDS = 1024, 16, 8, 128, 3072, 256
TOKENS, SEQUENCES = 128, 2  # of each sequence, and sequences in a batch
TURNS = 5  # of which the best counts


def tokens_per_second(kinds: Sequence[str]) -> dict[str, float]:
    """Tokens per second of processor time, by the type of the layer's matrices. It takes about two
    seconds, and 30 MB of the temporary folder for each type. Raises ModelError, OSError."""
    best = dict.fromkeys(kinds, 0.0)
    with tempfile.TemporaryDirectory(prefix="qrank-") as folder, ExitStack() as stack:
        whole = Path(folder) / "F16.gguf"
        _write(whole)
        contexts: dict[str, DecoderContext] = {}
        for kind in best:
            path = Path(folder) / f"{kind}.gguf"
            if kind != "F16":
                quantize(whole, path, kind)
            model = stack.enter_context(closing(Model(headers.read_header(path), CPU)))
            contexts[kind] = stack.enter_context(closing(_context(model)))
            _compute(contexts[kind])  # to warm up
        for _ in range(TURNS):  # in turns: what else the machine does is the same for all
            for kind, context in contexts.items():
                started = time.process_time()
                _compute(context)
                rate = TOKENS * SEQUENCES / (time.process_time() - started)
                best[kind] = max(best[kind], rate)
    return best


def _context(model: Model) -> DecoderContext:
    last = headers.POOLING.index("last")
    return DecoderContext(model, model.threads, embeddings=True, pooling=last, flash_attention=True)


def _compute(context: DecoderContext) -> None:
    sequence = [i % WORDS for i in range(TOKENS)]
    context.last_outputs(
        [((), sequence)] * SEQUENCES, lambda at, i, _row: pooled(at, i, WIDTH), object()
    )


def _write(path: Path) -> None:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(BETWEEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_pooling_type(gguf.PoolingType.LAST)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(WORDS)
    values = np.random.default_rng(0).standard_normal((WIDTH, BETWEEN), dtype=np.float32)
    some = (0.02 * values).astype(np.float16).ravel()
    matrices = {
        "token_embd": (WORDS, WIDTH),
        "blk.0.attn_q": (HEADS * HEAD, WIDTH),
        "blk.0.attn_k": (KEY_HEADS * HEAD, WIDTH),
        "blk.0.attn_v": (KEY_HEADS * HEAD, WIDTH),
        "blk.0.attn_output": (WIDTH, HEADS * HEAD),
        "blk.0.ffn_gate": (BETWEEN, WIDTH),
        "blk.0.ffn_up": (BETWEEN, WIDTH),
        "blk.0.ffn_down": (WIDTH, BETWEEN),
    }
    norms = dict.fromkeys(("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"), WIDTH)
    norms |= {"blk.0.attn_q_norm": HEAD, "blk.0.attn_k_norm": HEAD}
    for name, shape in matrices.items():
        writer.add_tensor(f"{name}.weight", some[: shape[0] * shape[1]].reshape(shape))
    for name, length in norms.items():
        writer.add_tensor(f"{name}.weight", np.ones(length, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
