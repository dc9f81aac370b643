"""Training the reranker on a GPU: distillation from the cross-encoder's scores and the teacher's
cosines.

It starts from one of three models, the one that ranks held-out lists best: the bundled reranker;
the bundled reranker plus what the embedder has learnt since; or a new one made from the embedder
(train_reranker.py). Loss: listwise cross-entropy against 1/4 gold and 3/4 the teachers' mean;
binary cross-entropy against 1/2 gold and 1/2 the cross-encoder's probability. In a third of the
lists the texts are surrounded by other text.
"""

import copy
from collections.abc import Callable
from types import SimpleNamespace

import judge
import numpy as np
import student
import torch
import train_reranker
import vocabulary
from corpus import Corpus, say
from rows import Numbers, cut, join, run
from schedule import Schedule
from torch import Tensor
from torch.nn import functional as F

WIDE = 0.33  # share of the lists whose texts are surrounded by other text
FILLER = 96  # tokens of that text, at most
AREA = 1 << 17


class Prompt:
    """The segments of the prompt around query and document."""

    def __init__(self, data: Corpus, cut_: vocabulary.Vocabulary) -> None:
        kept = SimpleNamespace(vocabulary=cut_, encode=data.encode)
        self.ids = train_reranker.Prompt(kept)  # type: ignore[arg-type]
        self.head, self.tail = data.tokens.add([self.ids.head, self.ids.tail])
        data.tokens.ready()


def logits(model: student.Student, data: Corpus, prompt: Prompt, rows: Numbers) -> Tensor:
    """The logits (yes minus no) of rows of segments, which are put into the prompt; shape
    (rows,)."""
    head = np.broadcast_to(prompt.head, (len(rows), 1, 2))
    tail = np.broadcast_to(prompt.tail, (len(rows), 1, 2))
    whole = np.concatenate([head, rows, tail], axis=1)
    states = run(data.tokens, whole, model.last, AREA).float()
    table = model.token_embd.weight
    return (states * (table[prompt.ids.yes] - table[prompt.ids.no])).sum(1)  # float32


def segments(
    data: Corpus, pairs: Numbers, docs: Numbers, most: int, rng: np.random.Generator | None
) -> Numbers:
    """(pairs * documents, 4, 2): query, filler, document, filler; without rng no filler."""
    count, size = docs.shape
    asked = np.repeat(cut(data.asked_here[pairs], 80), size, axis=0)
    given = cut(data.given_here[docs.ravel()], most)
    before, after = np.zeros_like(given), np.zeros_like(given)
    if rng is not None:
        other = data.d[rng.integers(0, len(data.d), len(given))]
        filler = cut(data.given_here[other], FILLER)
        first = rng.random(len(given)) < 0.5
        wide = np.repeat(rng.random(count) < WIDE, size)
        before[first & wide], after[~first & wide] = filler[first & wide], filler[~first & wide]
    return join(asked, before, given, after)


def right(model: student.Student, data: Corpus, prompt: Prompt, judged: judge.Judged) -> float:
    """The share of held-out lists in which the positive has the highest score."""
    pairs, docs = judged.pairs[: judged.held], judged.docs[: judged.held]
    with torch.inference_mode(), student.low(data.device):
        scores = logits(model, data, prompt, segments(data, pairs, docs, 200, None))
    return judged.right(scores.view(docs.shape))


def begin(
    bundled: student.Student,
    old: student.Student,
    new: student.Student,
    data: Corpus,
    prompt: Prompt,
    judged: judge.Judged,
) -> student.Student:
    """The best of the three starts in this module's docstring. old, new: the embedder before and
    after training."""
    moved = copy.deepcopy(bundled)
    before, after = old.state_dict(), new.state_dict()
    with torch.no_grad():
        moved.token_embd.weight[:, : student.MEANING] += (
            after["token_embd.weight"] - before["token_embd.weight"]
        )[:, : student.MEANING]
        for name, weight in moved.state_dict().items():
            parts = name.split(".")
            if parts[0] == "blk" and 1 <= int(parts[1]) <= student.POOL:
                here = ".".join(["blk", str(int(parts[1]) - 1), *parts[2:]])
                weight += after[here] - before[here]
    fresh = train_reranker.begin(copy.deepcopy(new).cpu(), prompt.ids)
    starts = {"as it was": bundled, "moved": moved, "anew": fresh.to(data.device)}
    shares = {name: right(model, data, prompt, judged) for name, model in starts.items()}
    say("starts: " + ", ".join(f"{name} {value:.3f}" for name, value in shares.items()))
    return starts[max(shares, key=shares.__getitem__)]


def losses(scores: Tensor, goal: Tensor, logit: Tensor) -> Tensor:
    """The losses, shape (3,); the third is only for the log. scores, goal, logit, of shape (lists,
    documents): of the student, the teachers' mean, of the cross-encoder."""
    gold = torch.zeros_like(scores)
    gold[:, 0] = 1
    listwise = F.cross_entropy(scores, 0.25 * gold + 0.75 * goal.softmax(1))
    weight = torch.where(gold > 0, float(scores.shape[1] - 1), 1.0) * 0.5
    binary = F.binary_cross_entropy_with_logits(scores, 0.5 * gold + 0.5 * logit.sigmoid(), weight)
    wrong = 1 - (scores.detach().argmax(1) == 0).float().mean()  # no gradient
    return torch.stack([listwise, 0.5 * binary, wrong])


def train(
    model: student.Student,
    data: Corpus,
    prompt: Prompt,
    judged: judge.Judged,
    plan: Schedule,
    size: int,
    save: Callable[[], None],
) -> None:
    """Train within the time of the plan; `save` is called now and then."""
    rng = np.random.default_rng(7)
    count = len(judged.pairs) - judged.held
    state = {"size": 0, "draw": judge.shuffled(count, 1, rng)}

    def step() -> Tensor:
        if state["size"] != plan.size:
            state["size"], state["draw"] = (
                plan.size,
                judge.shuffled(count, min(plan.size, count), rng),
            )
        some = judged.held + state["draw"]()
        most = int(rng.choice((64, 128, 200, 300)))
        rows = segments(data, judged.pairs[some], judged.docs[some], most, rng)
        with student.low(data.device):
            scores = logits(model, data, prompt, rows).view(len(some), -1)
        at = torch.from_numpy(some).to(data.device)
        return losses(scores, judged.goal[at], judged.logits[at])

    plan.train(model, step, size, save)
    say(f"the positive comes first in {right(model, data, prompt, judged):.3f}")
