"""The reranker on a GPU: distilled from the cross-encoder's scores and the teacher's cosines.

It goes on from the bundled reranker, to which what the embedder has learnt since is added, or
anew from the embedder (train_reranker.py), or as it was,
whichever ranks held-out lists best before training.
Loss: listwise cross-entropy against a quarter gold and three quarters the teachers' mean; binary
cross-entropy against half gold and half the cross-encoder's own probability. A third of the lists
has each text among others.
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

WIDE = 0.33
FILLER = 96  # tokens of another text before or after, at most
AREA = 1 << 17


class Prompt:
    """The segments around query and document."""

    def __init__(self, data: Corpus, cut_: vocabulary.Vocabulary) -> None:
        kept = SimpleNamespace(vocabulary=cut_, encode=data.encode)
        self.ids = train_reranker.Prompt(kept)  # type: ignore[arg-type]
        self.head, self.tail = data.tokens.add([self.ids.head, self.ids.tail])
        data.tokens.ready()


def logits(model: student.Student, data: Corpus, prompt: Prompt, rows: Numbers) -> Tensor:
    """(rows,) yes minus no, of rows of segments between the prompt's head and tail."""
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
    """Share of the held-out lists that the model gets right."""
    pairs, docs = judged.pairs[: judged.held], judged.docs[: judged.held]
    with torch.inference_mode(), student.low(data.device):
        found = logits(model, data, prompt, segments(data, pairs, docs, 200, None))
    return judged.right(found.view(docs.shape))


def begin(
    bundled: student.Student,
    old: student.Student,
    new: student.Student,
    data: Corpus,
    prompt: Prompt,
    judged: judge.Judged,
) -> student.Student:
    """The best of the starts that the docstring above names; old and new are embedders."""
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
    found = {name: right(model, data, prompt, judged) for name, model in starts.items()}
    say("starts: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    return starts[max(found, key=found.__getitem__)]


def losses(found: Tensor, goal: Tensor, logit: Tensor) -> Tensor:
    """found, goal, logit (lists, documents): the student's, the teachers' mean, the judge's own."""
    gold = torch.zeros_like(found)
    gold[:, 0] = 1
    listwise = F.cross_entropy(found, 0.25 * gold + 0.75 * goal.softmax(1))
    weight = torch.where(gold > 0, float(found.shape[1] - 1), 1.0) * 0.5
    binary = F.binary_cross_entropy_with_logits(found, 0.5 * gold + 0.5 * logit.sigmoid(), weight)
    wrong = 1 - (found.detach().argmax(1) == 0).float().mean()  # for the log; no gradient
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
            found = logits(model, data, prompt, rows).view(len(some), -1)
        at = torch.from_numpy(some).to(data.device)
        return losses(found, judged.goal[at], judged.logits[at])

    plan.train(model, step, size, save)
    say(f"the right one comes first in {right(model, data, prompt, judged):.3f}")
