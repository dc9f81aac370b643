"""Run the GGUF files through llama.cpp's low-level API: vectors and P(yes)."""

import ctypes
import unicodedata
from pathlib import Path

import llama_cpp as ll
import numpy as np
from numpy.typing import NDArray

TASK = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def body(query: str, document: str) -> str:
    """The part of the reranker's prompt that is tokenized without special tokens."""
    return f"<Instruct>: {TASK}\n<Query>: {query}\n<Document>: {document}"


class Model:
    """A GGUF file and one context of `slots` sequences of at most 512 tokens."""

    def __init__(self, path: Path, embedding: bool, slots: int = 8, threads: int = 1) -> None:
        silent = ll.llama_log_callback(lambda level, text, data: None)
        self.silent = silent  # keep it alive: llama.cpp only has the pointer
        ll.llama_log_set(silent, ctypes.c_void_p(0))
        ll.llama_backend_init()
        self.model = ll.llama_model_load_from_file(
            str(path).encode(), ll.llama_model_default_params()
        )
        if not self.model:
            raise ValueError(f"llama.cpp cannot load {path}")
        self.vocab = ll.llama_model_get_vocab(self.model)
        params = ll.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = 512 * slots, 512 * slots, 512
        params.n_seq_max, params.kv_unified = slots, False
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = embedding
        self.embedding, self.slots = embedding, slots
        self.ctx = ll.llama_init_from_model(self.model, params)
        self.no, self.yes = self.tokens("no")[0], self.tokens("yes")[0]
        self.dims = ll.llama_model_n_embd(self.model)
        self.rows = ll.llama_vocab_n_tokens(self.vocab)

    def tokens(self, text: str, special: bool = False) -> list[int]:
        """Tokenize text in NFC, without adding tokens; special: parse special tokens."""
        data = unicodedata.normalize("NFC", text).encode()
        room = (ll.llama_token * (len(data) + 8))()
        count = ll.llama_tokenize(self.vocab, data, len(data), room, len(room), False, special)
        return list(room[:count])

    def _decode(self, parts: list[tuple[int, int, list[int]]], outputs: bool) -> None:
        """parts: (sequence, position of its first token, ids); outputs for all tokens or none."""
        total = sum(len(ids) for _, _, ids in parts)
        batch = ll.llama_batch_init(total, 0, 1)
        place = 0
        for sequence, start, ids in parts:
            for offset, token in enumerate(ids):
                batch.token[place], batch.pos[place] = token, start + offset
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
                batch.logits[place] = outputs
                place += 1
        batch.n_tokens = total
        status = ll.llama_decode(self.ctx, batch)
        ll.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")

    def last(self, texts: list[list[int]]) -> NDArray[np.float32]:
        """The outputs of the last tokens: pooled states of shape (len(texts), dims), or the logits
        of (no, yes), of shape (len(texts), 2).

        All tokens but the last are decoded first, without outputs.
        """
        width = self.dims if self.embedding else 2
        result = np.zeros((len(texts), width), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(texts), self.slots):
            places = order[start : start + self.slots]
            group = [texts[place] for place in places]
            ll.llama_memory_clear(ll.llama_get_memory(self.ctx), True)
            ll.llama_set_embeddings(self.ctx, False)
            heads = [(slot, 0, ids[:-1]) for slot, ids in enumerate(group) if len(ids) > 1]
            if heads:
                self._decode(heads, outputs=False)
            ll.llama_set_embeddings(self.ctx, self.embedding)
            ends = [(slot, len(ids) - 1, ids[-1:]) for slot, ids in enumerate(group)]
            self._decode(ends, outputs=True)
            for slot, place in enumerate(places):
                if self.embedding:
                    row = ll.llama_get_embeddings_seq(self.ctx, slot)
                else:
                    row = ll.llama_get_logits_ith(self.ctx, slot)
                whole = np.ctypeslib.as_array(row, (self.dims if self.embedding else self.rows,))
                result[place] = whole if self.embedding else whole[[self.no, self.yes]]
        return result


class Embedder(Model):
    """Unit vectors of queries and documents."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__(path, embedding=True, threads=threads)
        self.end = self.tokens("<|endoftext|>", special=True)

    def encode(self, texts: list[str], query: bool, most: int = 320) -> NDArray[np.float32]:
        """Unit vectors of texts truncated to `most` tokens, of shape (len(texts), dims)."""
        prompt = f"Instruct: {TASK}\nQuery:" if query else ""
        rows = [self.tokens(prompt + text)[:most] + self.end for text in texts]
        vectors = self.last(rows)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Reranker(Model):
    """P(yes) of query and document, from a plain causal LM."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__(path, embedding=False, threads=threads)
        self.prefix = self.tokens(PREFIX, special=True)
        self.suffix = self.tokens(SUFFIX, special=True)

    def score(self, pairs: list[tuple[str, str]], most: int = 192) -> NDArray[np.float32]:
        """P(yes) of pairs, of shape (len(pairs),); query and document together are truncated to
        `most` tokens."""
        rows = [self.prefix + self.tokens(body(*pair))[:most] + self.suffix for pair in pairs]
        logits = self.last(rows)
        return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
