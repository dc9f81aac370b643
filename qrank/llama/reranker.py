"""(query, texts) -> P(relevant).

Three kinds of file hold a reranker. Two are Qwen3-Reranker: a plain causal language model, whose
answer is read off the logits of "yes" and "no", and llama.cpp's own conversion, which keeps only
these two rows as a classification head; prompt and schedule are the same, the head differs. The
third is a cross-encoder of the BERT family.
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
    DecoderContext,
    EncoderContext,
    Output,
    Pack,
    Prefix,
    Prefixed,
    logits,
    pooled,
)
from qrank.llama.conversions import require_head
from qrank.llama.engine import MAX_TOKENS, Frame, Model
from qrank.llama.gguf import HEAD, Kind, ModelFile
from qrank.llama.head import OwnHead
from qrank.llama.lanes import Lanes, is_large
from qrank.llama.opening import Opening
from qrank.llama.token_types import typed_inputs
from qrank.processors import count_tokens
from qrank.prompts import clean
from qrank.settings import Placement


def p_yes(answers: NDArray[np.float32]) -> float:
    """P(relevant) from the logits of (no, yes): the softmax over these two alone.

    Source: the Qwen3 Embedding report, arXiv 2506.05176; through logaddexp, so that no
    exponential overflows.

    >>> p_yes(np.array([0.0, 0.0], dtype=np.float32)), p_yes(np.array([0.0, 200.0]))
    (0.5, 1.0)
    """
    return float(np.exp(-np.logaddexp(0.0, float(answers[0]) - float(answers[1]))))


class Question(NamedTuple):
    """Whether a text answers a query."""

    query: str
    text: str
    instruction: str | None = None


class Score(NamedTuple):
    """P(relevant), and how many tokens the model computed for it."""

    p_yes: float
    tokens: int


class Head(Protocol):
    """How a kind of file answers."""

    embeddings: bool

    def read(self, context: Any, sequence: int, row: int) -> NDArray[np.float32]:
        """Copy a sequence's raw answer out of llama.cpp."""

    def score(self, answer: NDArray[np.float32]) -> float:
        """Turn the raw answer into P(relevant)."""


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
    """A `cls.output` head with labelled rows; llama.cpp has applied the softmax already."""

    embeddings = True

    def __init__(self, model: Model) -> None:
        labels = model.file.get("classifier.output_labels")  # with "yes": require_head
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
    """Qwen3-Reranker: a prompt asks for yes or no, a head reads the answer off the last token."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._head = _HEADS[model.file.kind](model)
        self._limit = min(MAX_TOKENS, model.file.context_length)
        self._opening = model.tokens(prompts.RERANK_PREFIX, special=True)
        self._closing = model.tokens(prompts.RERANK_SUFFIX, special=True)
        kept = is_large(model) and not model.on_gpu  # else it is computed as fast as read
        opening = Opening(model, self._of_all_queries()) if kept else None
        make = partial(DecoderContext, embeddings=self._head.embeddings, opening=opening)
        self.lanes: Lanes[DecoderContext] = Lanes(model, make)

    def outputs(self, questions: Iterable[Question]) -> Generator[list[Score], None, None]:
        """As LlamaReranker.outputs."""
        call = object()

        def work(context: DecoderContext, pack: Pack) -> list[Output]:
            return context.last_outputs(pack, self._head.read, call)

        coming = self.lanes.packs(self._sequences(questions))
        with closing(self.lanes.run(coming, work)) as done:
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
            room = self._limit - len(prefix) - len(self._closing)
            ids = self._model.tokens(clean(prompts.rerank_document(text)))
            yield prefix, ids[:room] + self._closing

    def _prefix(self, query: str, instruction: str | None) -> Prefix:
        room = self._limit - len(self._opening) - len(self._closing)
        return (*self._opening, *self._question(query, instruction, room // 2))

    def _of_all_queries(self) -> Prefix:
        """What the prefixes of all queries begin with, where no instruction is given."""
        both = zip(self._prefix("a", None), self._prefix("0", None), strict=False)
        return tuple(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], both))

    def _question(self, query: str, instruction: str | None, most: int) -> list[int]:
        """The ids of the question; one that leaves the document no room is cut, the template
        around it never."""
        start, end = prompts.rerank_question(clean(query), clean(instruction or "") or None)
        whole = self._model.tokens(start + end)  # at once: a query's last newline may join the end
        if len(whole) <= most:
            return whole
        closing = self._model.tokens(end)
        return self._model.tokens(start)[: most - len(closing)] + closing

    def close(self) -> None:
        """Free the contexts."""
        self.lanes.close()


class PairReranker:
    """A classic cross-encoder of the BERT family: it reads query and document as a pair and gives
    one logit, whose sigmoid is the probability."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._frame = Frame(model)
        self._head = OwnHead(model.file, model.dims) if HEAD in model.file.metadata else None
        pooling = POOLING_RANK if self._head is None else POOLING_OF_FILE
        inputs = typed_inputs(model.file, self._frame.between[-1])
        make = partial(EncoderContext, embeddings=True, pooling=pooling, inputs=inputs)
        self.lanes: Lanes[EncoderContext] = Lanes(model, make)
        self._limit = min(MAX_TOKENS, model.file.context_length)

    def outputs(self, questions: Iterable[Question]) -> Generator[list[Score], None, None]:
        """As LlamaReranker.outputs."""
        head = self._head
        size = 1 if head is None else head.dims

        def work(context: EncoderContext, pack: Pack) -> list[Output]:
            return context.pooled_outputs(pack, size)

        coming = self.lanes.packs(self._sequences(questions))
        with closing(self.lanes.run(coming, work)) as done:
            for outputs in done:
                yield [
                    Score(self._p_yes(values[0] if head is None else head.logit(values)), tokens)
                    for values, tokens in outputs
                ]

    def _sequences(self, questions: Iterable[Question]) -> Iterator[Prefixed]:
        last, query = "", self._model.tokens("")
        for own_query, text, _ in questions:
            if own_query != last:
                last, query = own_query, self._model.tokens(clean(own_query))
            yield (), self._frame.pair(query, self._model.tokens(clean(text)), self._limit)

    def _p_yes(self, logit: float) -> float:
        return p_yes(np.array([0.0, logit]))

    def close(self) -> None:
        """Free the contexts."""
        self.lanes.close()


class LlamaReranker:
    """A reranking model of any kind that qrank can run."""

    def __init__(self, file: ModelFile, placement: Placement) -> None:
        """Load the model. Raises ModelError when the file is no reranker."""
        if file.kind not in (*_HEADS, Kind.cross_encoder):
            raise ModelError(
                f"{file.path} is {file.kind.value}, not a reranker",
                hint="name the file of a reranking model, such as Qwen3-Reranker's",
            )
        require_head(file)
        self._model = Model(file, placement)
        made = PairReranker if file.kind is Kind.cross_encoder else PromptReranker
        self._ranker: PairReranker | PromptReranker = made(self._model)

    @property
    def takes_instruction(self) -> bool:
        """Whether the model's prompt takes an instruction."""
        return isinstance(self._ranker, PromptReranker)

    @property
    def decoded(self) -> int:
        """How many tokens the model has computed."""
        return self._ranker.lanes.decoded

    def scores(
        self, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> Iterator[list[float]]:
        """Yield P(relevant) of texts in order, a list a batch, as each batch is done.

        Query and text are data: nothing in them is read as a control token. A text longer than
        the model's window is cut. Raises InputError for an instruction where the model's prompt has
        no place for one.
        """
        self.require_instruction(instruction)
        with closing(self.outputs(Question(query, text, instruction) for text in texts)) as packs:
            for pack in packs:
                count_tokens(sum(score.tokens for score in pack))
                yield [score.p_yes for score in pack]

    def require_instruction(self, instruction: str | None) -> None:
        """Raise InputError for an instruction that the model does not take."""
        if instruction and not self.takes_instruction:
            raise InputError(f"{self._model.file.path} takes no instruction (--instruct)")

    def outputs(self, questions: Iterable[Question]) -> Generator[list[Score], None, None]:
        """Yield the answers to questions, which may differ in all they say, in order, pack by pack.
        The next questions are asked for while packs are computed."""
        self._model.require_open()
        yield from self._ranker.outputs(questions)

    def close(self) -> None:
        """Free the model."""
        self._ranker.close()
        self._model.close()
