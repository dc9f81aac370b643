"""Models of llama.cpp: loading a file onto a device, and tokenizing text."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qrank.errors import InputError, ModelError
from qrank.llama import conversions, devices, instructions, unigram
from qrank.llama.binding import delayed_signals, errors, llama
from qrank.llama.cores import default_threads
from qrank.llama.gguf import ModelFile
from qrank.settings import Placement

MAX_TOKENS = 8192  # of one sequence; the reference implementations truncate there, too

log = logging.getLogger("qrank")


class Model:
    """A loaded model file."""

    def __init__(self, file: ModelFile, placement: Placement) -> None:
        """Load the file. Raises ModelError when llama.cpp can't load it, InputError for a device
        that there is not."""
        self.file = file
        self._lock = threading.Lock()  # the model must not be freed while it tokenizes
        self.threads = placement.threads or default_threads()
        self.on_gpu = (
            llama.llama_supports_gpu_offload()
            and placement.gpu_layers != 0
            and (placement.device or "").lower() != devices.CPU
        )
        with ThreadPoolExecutor(1) as executor:  # llama.cpp loads with one thread
            reading = executor.submit(unigram.read, file) if unigram.has_vocabulary(file) else None
            self.handle = self._load(placement)
        try:
            self._unigram = reading.result() if reading else None
        except ModelError:
            self.close()
            raise
        self.vocabulary = llama.llama_model_get_vocab(self.handle)
        self.vocabulary_size = int(llama.llama_vocab_n_tokens(self.vocabulary))
        self.dims = int(llama.llama_model_n_embd(self.handle))

    def _load(self, placement: Placement) -> Any:
        """Load with the requested number of layers on the device, or as many as fit there."""
        all_layers = self.file.number("block_count", 0) + 1
        layers = all_layers if placement.gpu_layers is None else placement.gpu_layers
        layers = layers if self.on_gpu else 0
        device = devices.selection(placement.device) if placement.device else None
        no_devices = (ctypes.c_void_p * 1)(None)
        overrides = _kv_overrides(conversions.overrides(self.file))
        while True:
            errors.clear()
            parameters = llama.llama_model_default_params()
            parameters.n_gpu_layers = layers
            parameters.kv_overrides = overrides
            parameters.use_extra_bufts = not instructions.amx_crashes()
            # An empty list for the CPU: by default, GPU builds use a GPU for large batches.
            selected = device if layers else no_devices
            if selected is not None:
                parameters.devices = ctypes.addressof(selected)
            with delayed_signals():
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
        """Tokenize text, without tokens around it; text must be `clean`ed. special: parse control
        tokens, only for prompt templates, never for documents or queries. Raises ModelError when
        the model is closed."""
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
        """Raise ModelError when the model is closed: llama.cpp would crash."""
        if not self.handle:
            raise self.closed_error()

    def closed_error(self) -> ModelError:
        """The error for a model that was closed while it was in use."""
        return ModelError(f"the model {self.file.path} was closed")

    def close(self) -> None:
        """Free the model's memory."""
        with self._lock:
            if self.handle:
                llama.llama_model_free(self.handle)
                self.handle = None


def _kv_overrides(strings: dict[str, str]) -> Any:
    """Metadata as an array of llama_model_kv_override, terminated by an empty entry."""
    array = (llama.llama_model_kv_override * (len(strings) + 1))()
    for entry, (key, value) in zip(array, strings.items(), strict=False):
        entry.tag = llama.LLAMA_KV_OVERRIDE_TYPE_STR
        entry.key = key.encode()
        entry.value.val_str = value.encode()
    return array


class SpecialTokens:
    """The special tokens around texts and pairs of texts, by the kind of vocabulary.

    A text is `text <eos>` (Qwen), `[CLS] text [SEP]` (WordPiece) or `<s> text </s>` (Unigram);
    a pair is `[CLS] query [SEP] document [SEP]` or `<s> query </s></s> document </s>`.
    Source: the tokenizers of Qwen3-Embedding, BERT and XLM-R. The file's own flags (add_bos_token)
    are only used for other vocabularies: many older conversions lack them.
    """

    def __init__(self, model: Model) -> None:
        """Raises InputError when the vocabulary lacks one of the tokens."""
        vocabulary = model.vocabulary
        kind = llama.llama_vocab_type(vocabulary)
        start, end = int(llama.llama_vocab_bos(vocabulary)), int(llama.llama_vocab_eos(vocabulary))
        separator = int(llama.llama_vocab_sep(vocabulary))
        own_vocabulary = unigram.has_vocabulary(model.file)
        if own_vocabulary:  # llama.cpp's vocabulary is empty then
            start, end = unigram.ends(model.file)
        if model.file.architecture == "qwen3":
            # Conversions before llama.cpp's fix 14314 have <|im_end|>, which ends a chat message.
            ids = model.tokens(conversions.END_OF_TEXT, special=True)
            end = ids[0] if len(ids) == 1 else end
        is_unigram = own_vocabulary or kind == llama.LLAMA_VOCAB_TYPE_UGM
        is_word_piece = kind == llama.LLAMA_VOCAB_TYPE_WPM
        has_start = is_unigram or is_word_piece or llama.llama_vocab_get_add_bos(vocabulary)
        self.start = [start] if has_start else []
        self.end = [separator if is_word_piece else end]
        self.between = [end, end] if is_unigram else [separator if is_word_piece else end]
        if min(self.start + self.end + self.between) < 0:
            raise InputError(
                f"{model.file.path} defines no tokens for the beginning and end of a text"
            )

    def room(self, limit: int) -> int:
        """How many of `limit` tokens are left for a text."""
        return limit - len(self.start) - len(self.end)

    def text(self, ids: list[int], limit: int) -> list[int]:
        """A text's token ids with the special tokens, truncated to `limit` tokens in all."""
        return [*self.start, *ids[: self.room(limit)], *self.end]

    def pair(self, query: list[int], document: list[int], limit: int) -> list[int]:
        """The token ids of a pair, truncated to `limit` tokens in all: the query gets at most half
        of them, the document the rest."""
        room = limit - len(self.start) - len(self.between) - len(self.end)
        query = query[: room // 2]
        document = document[: room - len(query)]
        return [*self.start, *query, *self.between, *document, *self.end]
