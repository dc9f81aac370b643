"""Scoring texts with a GGUF reranker: (query, texts) -> P(relevant).

There are three kinds of files. Two are Qwen3-Reranker, with the same prompt: a plain causal
language model, of which the logits of "yes" and "no" are used, and llama.cpp's own conversion,
which has only these two rows of the output matrix, as a classification head. The third is a
cross-encoder of the BERT family.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from qrank import prompts
from qrank.errors import InputError, ModelError
from qrank.llama.context import (
    MOST_PREFIXES,
    POOLING_OF_FILE,
    POOLING_RANK,
    Batch,
    DecoderContext,
    EncoderContext,
    Output,
    Prefix,
    Prefixed,
    logits,
    pooled,
)
from qrank.llama.context_pool import ContextPool, is_large
from qrank.llama.conversions import require_head
from qrank.llama.engine import MAX_TOKENS, Model, SpecialTokens
from qrank.llama.gguf import HEAD, Kind, ModelFile
from qrank.llama.head import OwnHead
from qrank.llama.prompt_cache import PromptCache
from qrank.llama.token_types import typed_inputs
from qrank.processors import count_tokens
from qrank.prompts import clean
from qrank.settings import Placement


def p_yes(answers: NDArray[np.float32]) -> float:
    """P(relevant) from the logits of (no, yes), shape (2,): the softmax over these two.

    Source: the Qwen3 Embedding report, arXiv 2506.05176; computed with logaddexp, so that the
    exponential can't overflow.

    >>> p_yes(np.array([0.0, 0.0], dtype=np.float32)), p_yes(np.array([0.0, 200.0]))
    (0.5, 1.0)
    """
    return float(np.exp(-np.logaddexp(0.0, float(answers[0]) - float(answers[1]))))


class Question(NamedTuple):
    """A query and a text to score."""

    query: str
    text: str
    instruction: str | None = None


class Score(NamedTuple):
    """P(relevant), from 0 to 1, and how many tokens were decoded for it."""

    p_yes: float
    tokens: int


class Head(Protocol):
    """How the output of a kind of file is read and turned into a score."""

    embeddings: bool

    def read(self, context: Any, sequence: int, row: int) -> NDArray[np.float32]:
        """Copy a sequence's output out of llama.cpp."""

    def score(self, answer: NDArray[np.float32]) -> float:
        """Turn the output into P(relevant)."""


class LogitsHead:
    """A plain causal language model: the logits of the tokens "no" and "yes"."""

    embeddings = False

    def __init__(self, model: Model) -> None:
        self._size = model.vocabulary_size
        answers = [model.tokens(word) for word in ("no", "yes")]
        if any(len(ids) != 1 for ids in answers):
            raise ModelError(
                f"{model.file.path} can't rerank: its vocabulary has no token for yes or no"
            )
        self._ids = [ids[0] for ids in answers]

    def read(self, context: Any, sequence: int, row: int) -> NDArray[np.float32]:
        """The logits of (no, yes)."""
        return logits(context, row, self._ids, self._size)

    def score(self, answer: NDArray[np.float32]) -> float:
        """The softmax over the two."""
        return p_yes(answer)


class ClassifierHead:
    """A `cls.output` head with labels; llama.cpp applies the softmax."""

    embeddings = True

    def __init__(self, model: Model) -> None:
        labels = model.file.get("classifier.output_labels")  # require_head has checked for "yes"
        self._size = len(labels)
        self._yes = labels.index("yes")

    def read(self, context: Any, sequence: int, row: int) -> NDArray[np.float32]:
        """The probabilities of the labels."""
        return pooled(context, sequence, self._size)

    def score(self, answer: NDArray[np.float32]) -> float:
        """The probability of "yes"."""
        return float(answer[self._yes])


_HEADS: dict[Kind, Callable[[Model], Head]] = {
    Kind.causal: LogitsHead,
    Kind.classifier: ClassifierHead,
}


class PromptReranker:
    """Qwen3-Reranker: a prompt asks for yes or no; the head gets the output of the last token."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._head = _HEADS[model.file.kind](model)
        self._limit = min(MAX_TOKENS, model.file.context_length)
        self._template_start = model.tokens(prompts.RERANK_PREFIX, special=True)
        self._template_end = model.tokens(prompts.RERANK_SUFFIX, special=True)
        cached = is_large(model) and not model.on_gpu  # else decoding is as fast as reading
        cache = PromptCache(model, self._common_prefix()) if cached else None
        make = partial(DecoderContext, embeddings=self._head.embeddings, prompt_cache=cache)
        self.contexts: ContextPool[DecoderContext] = ContextPool(model, make)

    def outputs(self, questions: Iterable[Question]) -> Generator[list[Score], None, None]:
        """As LlamaReranker.outputs."""
        call = object()

        def work(context: DecoderContext, batch: Batch) -> list[Output]:
            return context.last_outputs(batch, self._head.read, call)

        coming = self.contexts.batches(self._sequences(questions))
        with closing(self.contexts.run(coming, work)) as done:
            for outputs in done:
                yield [Score(self._head.score(values), tokens) for values, tokens in outputs]

    def _sequences(self, questions: Iterable[Question]) -> Iterator[Prefixed]:
        prefixes: dict[tuple[str, str | None], Prefix] = {}
        for query, text, instruction in questions:
            if (query, instruction) not in prefixes:
                if len(prefixes) >= MOST_PREFIXES:
                    del prefixes[next(iter(prefixes))]
                prefixes[query, instruction] = self._prefix(query, instruction)
            prefix = prefixes[query, instruction]
            room = self._limit - len(prefix) - len(self._template_end)
            ids = self._model.tokens(clean(prompts.rerank_document(text)))
            yield prefix, ids[:room] + self._template_end

    def _prefix(self, query: str, instruction: str | None) -> Prefix:
        room = self._limit - len(self._template_start) - len(self._template_end)
        return (*self._template_start, *self._question(query, instruction, room // 2))

    def _common_prefix(self) -> Prefix:
        """The tokens that the prefixes of all queries without an instruction begin with."""
        both = zip(self._prefix("a", None), self._prefix("0", None), strict=False)
        return tuple(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], both))

    def _question(self, query: str, instruction: str | None, most: int) -> list[int]:
        """The token ids of instruction and query; the query is truncated so that there are at most
        `most` tokens, the template around it never is."""
        start, end = prompts.rerank_question(clean(query), clean(instruction or "") or None)
        # Both parts at once: a newline at the end of the query may be one token with the next one.
        whole = self._model.tokens(start + end)
        if len(whole) <= most:
            return whole
        end_tokens = self._model.tokens(end)
        return self._model.tokens(start)[: most - len(end_tokens)] + end_tokens

    def close(self) -> None:
        """Free the contexts."""
        self.contexts.close()


class PairReranker:
    """A cross-encoder of the BERT family: its input is the pair of query and document, its output
    one logit, whose sigmoid is the probability."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._special = SpecialTokens(model)
        self._head = OwnHead(model.file, model.dims) if HEAD in model.file.metadata else None
        pooling = POOLING_RANK if self._head is None else POOLING_OF_FILE
        inputs = typed_inputs(model.file, self._special.between[-1])
        make = partial(EncoderContext, embeddings=True, pooling=pooling, inputs=inputs)
        self.contexts: ContextPool[EncoderContext] = ContextPool(model, make)
        self._limit = min(MAX_TOKENS, model.file.context_length)

    def outputs(self, questions: Iterable[Question]) -> Generator[list[Score], None, None]:
        """As LlamaReranker.outputs."""
        head = self._head
        size = 1 if head is None else head.dims

        def work(context: EncoderContext, batch: Batch) -> list[Output]:
            return context.pooled_outputs(batch, size)

        coming = self.contexts.batches(self._sequences(questions))
        with closing(self.contexts.run(coming, work)) as done:
            for outputs in done:
                yield [
                    Score(self._p_yes(values[0] if head is None else head.logit(values)), tokens)
                    for values, tokens in outputs
                ]

    def _sequences(self, questions: Iterable[Question]) -> Iterator[Prefixed]:
        last, ids = "", self._model.tokens("")
        for query, text, _ in questions:
            if query != last:
                last, ids = query, self._model.tokens(clean(query))
            yield (), self._special.pair(ids, self._model.tokens(clean(text)), self._limit)

    def _p_yes(self, logit: float) -> float:
        return p_yes(np.array([0.0, logit]))

    def close(self) -> None:
        """Free the contexts."""
        self.contexts.close()


class LlamaReranker:
    """A reranking model of any kind that qrank can run. Thread-safe."""

    def __init__(self, file: ModelFile, placement: Placement) -> None:
        """Load the model. Raises ModelError when the file is not a reranker that qrank can run."""
        if file.kind not in (*_HEADS, Kind.cross_encoder):
            raise ModelError(
                f"{file.path} is {file.kind.value}, not a reranker",
                hint="name the file of a reranking model, such as Qwen3-Reranker's",
            )
        require_head(file)
        self._model = Model(file, placement)
        kind = PairReranker if file.kind is Kind.cross_encoder else PromptReranker
        self._ranker: PairReranker | PromptReranker = kind(self._model)

    @property
    def takes_instruction(self) -> bool:
        """Whether the model's prompt takes an instruction."""
        return isinstance(self._ranker, PromptReranker)

    @property
    def decoded(self) -> int:
        """How many tokens have been decoded."""
        return self._ranker.contexts.decoded

    def scores(
        self, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> Iterator[list[float]]:
        """Yield lists of P(relevant), batch by batch, for the texts in order.

        Control tokens in query and texts are not parsed. A text longer than the model's context is
        truncated. Raises InputError for an instruction if the model's prompt takes none, ModelError
        for a closed model.
        """
        self.require_instruction(instruction)
        with closing(self.outputs(Question(query, text, instruction) for text in texts)) as batches:
            for batch in batches:
                count_tokens(sum(score.tokens for score in batch))
                yield [score.p_yes for score in batch]

    def require_instruction(self, instruction: str | None) -> None:
        """Raise InputError for an instruction that the model does not take."""
        if instruction and not self.takes_instruction:
            raise InputError(f"{self._model.file.path} takes no instruction (--instruct)")

    def outputs(self, questions: Iterable[Question]) -> Generator[list[Score], None, None]:
        """Yield the scores of questions, in order, batch by batch; their queries may differ.
        Further questions are taken from the iterable while batches are computed."""
        self._model.require_open()
        yield from self._ranker.outputs(questions)

    def close(self) -> None:
        """Free the model."""
        self._ranker.close()
        self._model.close()
