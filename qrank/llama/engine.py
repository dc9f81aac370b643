"""Models of llama.cpp: loading a file, where it runs, and turning text into tokens."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qrank.errors import InputError, ModelError
from qrank.llama import conversions, devices, unigram
from qrank.llama.binding import errors, interrupts_held, llama
from qrank.llama.cores import default_threads
from qrank.llama.gguf import ModelFile
from qrank.settings import Placement

MAX_TOKENS = 8192  # of one sequence; the reference implementations cut there too

log = logging.getLogger("qrank")


class Model:
    """A loaded model file. Raises ModelError when llama.cpp refuses it."""

    def __init__(self, file: ModelFile, placement: Placement) -> None:
        self.file = file
        self._lock = threading.Lock()  # so that it is not freed while it turns text into tokens
        self.threads = placement.threads or default_threads()
        self.on_gpu = (
            llama.llama_supports_gpu_offload()
            and placement.gpu_layers != 0
            and (placement.device or "").lower() != devices.CPU
        )
        with ThreadPoolExecutor(1) as aside:  # both take a while, and llama.cpp leaves room
            words = aside.submit(unigram.read, file) if unigram.carried(file) else None
            self.handle = self._load(placement)
        try:
            self._unigram = words.result() if words else None
        except ModelError:
            self.close()
            raise
        self.vocabulary = llama.llama_model_get_vocab(self.handle)
        self.vocabulary_size = int(llama.llama_vocab_n_tokens(self.vocabulary))
        self.dims = int(llama.llama_model_n_embd(self.handle))

    def _load(self, placement: Placement) -> Any:
        """Load with as many layers on the device as asked for, or as it has memory for."""
        everything = self.file.number("block_count", 0) + 1
        layers = everything if placement.gpu_layers is None else placement.gpu_layers
        layers = layers if self.on_gpu else 0
        chosen = devices.selection(placement.device) if placement.device else None
        no_devices = (ctypes.c_void_p * 1)(None)
        corrected = _corrections(conversions.overrides(self.file))
        while True:
            errors.clear()
            parameters = llama.llama_model_default_params()
            parameters.n_gpu_layers = layers
            parameters.kv_overrides = corrected
            # None at all for the CPU: a build for GPUs would use one for large batches.
            chosen_devices = chosen if layers else no_devices
            if chosen_devices is not None:
                parameters.devices = ctypes.addressof(chosen_devices)
            with interrupts_held():
                path = os.fsencode(self.file.path)
                handle = llama.llama_model_load_from_file(path, parameters)
            if handle:
                return handle
            if layers == 0:
                reason = next((e for e in errors if "error" in e), "it refused the file")
                reason = reason.split(": ", 1)[-1]
                raise ModelError(f"llama.cpp can't load {self.file.path}: {reason}")
            layers = layers // 2
            self.on_gpu = layers > 0
            place = f"{layers} layers on the device" if layers else "the CPU"
            log.warning(
                "%s does not fit into the device's memory: trying %s", self.file.path, place
            )

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        """The token ids of text, which must be clean. With special, control tokens are parsed:
        for the parts of a template only, never for a document or a query. Raises ModelError when
        the model was closed."""
        with self._lock:
            self.require_open()
            return self._tokens(text, special)

    def _tokens(self, text: str, special: bool) -> list[int]:
        if self._unigram:
            return self._unigram.tokens(text)
        data = text.encode("utf-8")
        room = len(data) + 8
        ids = (llama.llama_token * room)()
        count = llama.llama_tokenize(self.vocabulary, data, len(data), ids, room, False, special)
        if count < 0:
            raise ModelError(f"{self.file.path} has no vocabulary that llama.cpp can use")
        return list(ids[:count])

    def require_open(self) -> None:
        """Raise ModelError when the model was closed: llama.cpp would end the process."""
        if not self.handle:
            raise self.was_closed()

    def was_closed(self) -> ModelError:
        """What is raised where a model was closed while others still wanted it."""
        return ModelError(f"the model {self.file.path} was closed")

    def close(self) -> None:
        """Free the model's memory."""
        with self._lock:
            if self.handle:
                llama.llama_model_free(self.handle)
                self.handle = None


def _corrections(strings: dict[str, str]) -> Any:
    """Metadata in llama.cpp's form for it, with an empty entry at the end."""
    made = (llama.llama_model_kv_override * (len(strings) + 1))()
    for entry, (key, value) in zip(made, strings.items(), strict=False):
        entry.tag = llama.LLAMA_KV_OVERRIDE_TYPE_STR
        entry.key = key.encode()
        entry.value.val_str = value.encode()
    return made


class Frame:
    """The tokens that stand around texts, by the kind of vocabulary.

    A text is `text <eos>` (Qwen), `[CLS] text [SEP]` (WordPiece) or `<s> text </s>` (Unigram);
    a pair is `[CLS] query [SEP] document [SEP]` or `<s> query </s></s> document </s>`.
    Source: the tokenizers of Qwen3-Embedding, BERT and XLM-R. The flags in a file that say so
    are missing in many older conversions, so they are asked only where the kind leaves it open.
    """

    def __init__(self, model: Model) -> None:
        words = model.vocabulary
        kind = llama.llama_vocab_type(words)
        start, end = int(llama.llama_vocab_bos(words)), int(llama.llama_vocab_eos(words))
        separator = int(llama.llama_vocab_sep(words))
        carried = unigram.carried(model.file)
        if carried:  # llama.cpp was told that there is no vocabulary
            start, end = unigram.ends(model.file)
        if model.file.architecture == "qwen3":
            # Conversions before llama.cpp's fix 14314 name <|im_end|>, which ends a turn of a chat.
            named = model.tokens(conversions.END_OF_TEXT, special=True)
            end = named[0] if len(named) == 1 else end
        by_unigram = carried or kind == llama.LLAMA_VOCAB_TYPE_UGM
        word_piece = kind == llama.LLAMA_VOCAB_TYPE_WPM
        starts = by_unigram or word_piece or llama.llama_vocab_get_add_bos(words)
        self.start = [start] if starts else []
        self.end = [separator if word_piece else end]
        self.between = [end, end] if by_unigram else [separator if word_piece else end]
        if min(self.start + self.end + self.between) < 0:
            raise InputError(
                f"{model.file.path} defines no tokens for the beginning and end of a text"
            )

    def room(self, limit: int) -> int:
        """How many of limit tokens are left for a text."""
        return limit - len(self.start) - len(self.end)

    def text(self, ids: list[int], limit: int) -> list[int]:
        """A text's ids, cut to limit tokens in all."""
        return [*self.start, *ids[: self.room(limit)], *self.end]

    def pair(self, query: list[int], document: list[int], limit: int) -> list[int]:
        """A query's and a document's ids: the query gets at most half, the document the rest."""
        room = limit - len(self.start) - len(self.between) - len(self.end)
        query = query[: room // 2]
        document = document[: room - len(query)]
        return [*self.start, *query, *self.between, *document, *self.end]
