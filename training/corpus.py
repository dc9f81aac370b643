"""Packing the training texts for a GPU machine (`write`), and reading them there (`Corpus`).

texts.bz2   the texts, separated by NUL
pairs.npz   query and passage (numbers of texts), source, and the given negatives
teacher.npz the teacher (e5.py)
"""

import argparse
import bz2
import json
import re
import time
from collections import defaultdict
from pathlib import Path

import e5
import numpy as np
import torch
import vocabulary
from numpy.typing import NDArray
from rows import Buffer, Numbers, cut, join, run
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

PROMPT = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)
ASKED = ("squad-sentences", "wikiqa", "trecqa", "healthver", "covidfact", "jaquad", "tquad")
FOREIGN = re.compile(r"^(own|package|cross|dict|tldr-multi|twin|jaquad)\b")
REFERENCE = ("wordnet", "dictionary", "icd", "span")
# The most megabytes of text of a source, if not --most.
MEGABYTES = {
    "doc": 3.5,
    "package": 2.0,
    "python": 2.6,
    "dictionary": 1.5,
    "wordnet": 1.5,
    "squad-sentences": 2.0,
    "tldr-en": 2.3,
    "jaquad": 1.5,
}
NEAR, LEXICAL = 48, 24  # hard negatives per query: by the teacher's cosine, by BM25
MOST_CHARS = 300  # of a query
BEGUN = time.perf_counter()


def say(*what: object) -> None:
    """Print a line of the log, with the seconds since the start."""
    print(f"[{time.perf_counter() - BEGUN:6.1f}]", *what, flush=True)


def write(build: Path, out: Path, teacher: Path, pieces: int, most: float) -> None:
    """Pack a build folder's pairs, of each source at most `most` megabytes of text."""
    lines = (build / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"].replace("\0", " ") for line in lines]
    rows = [json.loads(x) for x in (build / "pairs.jsonl").read_text("utf-8").splitlines()]
    for foreign, english in json.loads((build / "twins.json").read_text(encoding="utf-8")):
        rows.append({"q": foreign, "d": english, "source": "twin", "negatives": []})
    rng = np.random.default_rng(1)
    used: set[int] = set()
    spent: dict[str, int] = defaultdict(int)
    chosen = []
    for place in rng.permutation(len(rows)):
        row = rows[place]
        new = {row["q"], row["d"], *row["negatives"][:4]} - used
        size = sum(len(texts[number].encode()) for number in new)
        if spent[row["source"]] + size <= MEGABYTES.get(row["source"], most) * 1e6:
            spent[row["source"]] += size
            used |= new
            chosen.append(place)
    rows = [rows[place] for place in sorted(chosen)]
    kept = sorted(used)
    new_number = {old: place for place, old in enumerate(kept)}
    sources = sorted({row["source"] for row in rows})
    wrong = [(n, new_number[text]) for n, row in enumerate(rows) for text in row["negatives"][:4]]
    asked = np.array([new_number[row["q"]] for row in rows])
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / "pairs.npz",
        q=np.diff(asked, prepend=0).astype(np.int32),
        d=np.array([new_number[row["d"]] for row in rows]).astype(np.int32)
        - asked.astype(np.int32),
        source=np.array([sources.index(row["source"]) for row in rows], dtype=np.uint8),
        names=np.array(sources),
        wrong=np.array(wrong, dtype=np.int32).reshape(-1, 2),
    )
    packed = bz2.compress("\0".join(texts[n] for n in kept).encode())
    (out / "texts.bz2").write_bytes(packed)
    print(f"{len(rows)} pairs, {len(kept)} texts", flush=True)
    e5.pack(teacher, [texts[n] for n in kept[::6]], out / "teacher.npz", pieces)
    for path in sorted(out.iterdir()):
        print(path.name, path.stat().st_size if path.is_file() else "")


def spans(docs: list[str], share: float, rng: np.random.Generator) -> list[tuple[int, str]]:
    """(document, some consecutive words of it): artificial queries for a share of documents."""
    made = []
    for place in np.flatnonzero(rng.random(len(docs)) < share):
        words = docs[place].split()
        if len(words) < 24:
            continue
        size = int(rng.integers(4, 13))
        first = int(rng.integers(0, len(words) - size))
        made.append((int(place), " ".join(words[first : first + size])[:MOST_CHARS]))
    return made


class Corpus:
    """Queries, documents and pairs of their numbers; tokens on the device; the teacher's vectors,
    after `teach`. share: of the pairs."""

    def __init__(
        self, carry: Path, cut_: vocabulary.Vocabulary, device: torch.device, share: float
    ) -> None:
        rng = np.random.default_rng(2)
        texts = bz2.decompress((carry / "texts.bz2").read_bytes()).decode().split("\0")
        kept = np.load(carry / "pairs.npz")
        asked = np.cumsum(kept["q"].astype(np.int64))
        given = asked + kept["d"]
        names = [str(name) for name in kept["names"]]
        if share < 1:  # a rehearsal
            some = np.flatnonzero(rng.random(len(asked)) < share)
        else:
            some = np.arange(len(asked))
        numbers: dict[int, int] = {}
        self.docs: list[str] = []

        def document(text: int) -> int:
            if text not in numbers:
                numbers[text] = len(self.docs)
                self.docs.append(texts[text])
            return numbers[text]

        self.queries = [texts[asked[place]][:MOST_CHARS] for place in some]
        d = [document(int(given[place])) for place in some]
        source = [names[kept["source"][place]] for place in some]
        at = {int(place): number for number, place in enumerate(some)}
        self.wrong: dict[int, list[int]] = defaultdict(list)
        for place, text in kept["wrong"].tolist():
            if place in at:
                self.wrong[at[place]].append(document(text))
        queries = set(asked.tolist())
        if share == 1:
            for text in range(len(texts)):
                if text not in queries:
                    document(text)
        for place, text in spans(self.docs, 0.35, rng):
            self.queries.append(text)
            d.append(place)
            source.append("span")
        self.d = np.array(d, dtype=np.int64)  # the document of pair i, whose query is query i
        self.source = np.array(source)
        self.device = device
        say(f"{len(self.queries)} queries, {len(self.docs)} documents")
        self.tokens = Buffer(device)
        encode = vocabulary.tokenizer(cut_)
        self.encode = encode
        ids = vocabulary.special_ids(cut_)
        self.end = self.tokens.add([[ids["<|endoftext|>"]]])[0]
        self.asked = self._add(encode, PROMPT, self.queries)
        self.given = self._add(encode, "", self.docs)
        # As in the reranker's prompt, whose parts have the same tokens separately as together.
        self.asked_here = self._add(encode, " ", self.queries, "\n<Document>:")
        self.given_here = self._add(encode, " ", self.docs)
        self.tokens.ready()
        say(f"{self.tokens.count} tokens")
        self.held = rng.random(len(self.d)) < 0.02

    def _add(self, encode: Tokenizer, before: str, texts: list[str], after: str = "") -> Numbers:
        made = []
        for start in range(0, len(texts), 20000):
            part = [f"{before}{text}{after}" for text in texts[start : start + 20000]]
            made.append(self.tokens.add(x.ids for x in encode.encode_batch_fast(part)))
        return np.concatenate(made)

    def teach(self, carry: Path, area: int) -> None:
        """Compute the teacher's tokens, centred unit vectors of queries and documents, and hard
        negatives. carry: the folder of write; area: tokens per batch, padding included."""
        self.teacher, encode = e5.Encoder.load(carry / "teacher.npz")
        self.teacher_tokens = Buffer(self.device)
        whole, self.tokens = self.tokens, self.teacher_tokens
        self.marks = self.teacher_tokens.add([[e5.BOS], [e5.EOS]])
        self.teacher_asked = self._add(encode, e5.PREFIXES[0], self.queries)
        self.teacher_given = self._add(encode, e5.PREFIXES[1], self.docs)
        self.tokens = whole
        self.teacher_tokens.ready()
        say(f"{self.teacher_tokens.count} tokens of the teacher")
        low = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        model = e5.Encoder(len(self.teacher.word.weight))
        model.load_state_dict(self.teacher.state_dict())
        model.to(self.device, low).eval()

        def vectors(texts: Numbers, most: int) -> Tensor:
            rows = join(self.marks[0], cut(texts, most), self.marks[1])
            with torch.inference_mode():
                made = run(self.teacher_tokens, rows, model.embed, area)
            return F.normalize(made - made.mean(0), dim=1).half()

        self.query_vectors = vectors(self.teacher_asked, 96)
        say("teacher: queries")
        self.doc_vectors = vectors(self.teacher_given, 320)
        say("teacher: documents")
        self.near = self.mine()

    @torch.inference_mode()
    def mine(self) -> NDArray[np.int32]:
        """Hard negatives of each query, of shape (queries, NEAR + LEXICAL)."""
        own = torch.from_numpy(self.d).to(self.device)
        parts = []
        docs = self.doc_vectors if self.device.type == "cuda" else self.doc_vectors.float()
        for start in range(0, len(self.d), 2048):
            part = slice(start, start + 2048)
            scores = self.query_vectors[part].to(docs.dtype) @ docs.T
            scores.scatter_(1, own[part, None], -2)
            parts.append(scores.topk(NEAR + LEXICAL).indices.int())
        near = torch.cat(parts)
        say("neighbours by the teacher")
        some = np.flatnonzero(~np.isin(self.source, REFERENCE))
        try:
            near[torch.from_numpy(some).to(self.device), NEAR:] = self.lexical(some, own[some])
            say("neighbours by BM25")
        except RuntimeError as error:  # then all are the teacher's
            say(f"no neighbours by BM25: {error}")
        return near.cpu().numpy()

    def lexical(self, queries: Numbers, own: Tensor) -> Tensor:
        """The best documents by BM25 over token ids (k1 1.2, b 0.75), shape (queries, LEXICAL)."""
        size = int(self.tokens.flat.max()) + 1
        flat = self.tokens.flat
        given = torch.from_numpy(cut(self.given_here, 128)).to(self.device)
        rows = torch.repeat_interleave(torch.arange(len(given), device=self.device), given[:, 1])
        first = torch.repeat_interleave(
            given[:, 0] - given[:, 1].cumsum(0) + given[:, 1], given[:, 1]
        )
        index = first + torch.arange(len(rows), device=self.device)
        keys, counts = torch.unique(rows * size + flat[index].long(), return_counts=True)
        row, token = keys // size, keys % size
        found = torch.bincount(token, minlength=size).float()
        idf = torch.log(1 + (len(given) - found + 0.5) / (found + 0.5))
        lengths = given[:, 1].float()
        per = 1.2 * (0.25 + 0.75 * lengths / lengths.mean())
        counts = counts.float()
        values = counts * 2.2 / (counts + per[row]) * idf[token]
        begin = torch.zeros(len(given) + 1, dtype=torch.long, device=self.device)
        begin[1:] = torch.bincount(row, minlength=len(given)).cumsum(0)
        matrix = torch.sparse_csr_tensor(begin, token, values, (len(given), size))
        parts = []
        for start in range(0, len(own), 512):
            some = self.asked_here[queries[start : start + 512]]
            ids, lengths_ = self.tokens.rows(some[:, None], int(some[:, 1].max()))
            asked = torch.zeros(len(some), size, device=self.device)
            places = torch.arange(ids.shape[1], device=self.device)
            # the last tokens are those of "\n<Document>:"
            inside = (places < lengths_[:, None] - 3).float()
            asked.scatter_reduce_(1, ids, inside, "amax")
            scores = (matrix @ asked.T).T.contiguous()
            scores.scatter_(1, own[start : start + 512, None], -2)
            parts.append(scores.topk(LEXICAL).indices.int())
        return torch.cat(parts)

    def weights(self, lists: bool) -> NDArray[np.float64]:
        """The probability of each pair to be drawn, of shape (pairs,); 0 for held-out ones. lists:
        for lists of documents, which have fewer of reference works."""
        shares = np.zeros(len(self.d))
        for name in np.unique(self.source):
            here = self.source == name
            whole = float(here.sum()) ** 0.6
            whole *= 2.0 if name in ASKED else 1.0
            whole *= 0.4 if FOREIGN.match(name) and name not in ("package",) else 1.0
            whole *= 0.3 if lists and name in REFERENCE else 1.0
            shares[here] = whole / here.sum()
        shares[self.held] = 0
        return shares / shares.sum()


def main() -> None:
    """Pack a build folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("teacher", type=Path, help="e5-small-q4.bin")
    parser.add_argument("--pieces", type=int, default=28000, help="of the teacher's vocabulary")
    parser.add_argument("--most", type=float, default=1.3, help="megabytes of a source at most")
    args = parser.parse_args()
    write(args.build, args.out, args.teacher, args.pieces, args.most)


if __name__ == "__main__":
    main()
