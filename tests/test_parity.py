"""Results equal the reference implementation's, with small models of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qrank import prompts
from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.engine import Model, SpecialTokens
from qrank.llama.gguf import read_header
from qrank.llama.reranker import LlamaReranker
from qrank.prompts import clean
from qrank.settings import ANYWHERE, Placement

OURS = Path(__file__).parent / "parity"
SHARED = Path(__file__).parents[2] / "shared" / "parity"  # other files of the same kind, if there
FOLDERS = [OURS, *([SHARED] if (SHARED / "expected.json").exists() else [])]


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.parent.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text("utf-8"))


@pytest.mark.parametrize("name", ["lm.gguf", "cls.gguf"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("together", [True, False], ids=["packed", "alone"])
def test_p_yes_is_the_reference_s(folder, expected, name, together, threads):
    reranker = LlamaReranker(read_header(folder / name), Placement(threads=threads))
    instruction = json.loads((folder / "cases.json").read_text("utf-8"))["instruction"]
    for key, task in (("rerank", None), ("rerank_instr", instruction)):
        cases = expected[key]
        assert cases
        for query in {case["query"] for case in cases}:
            of_query = [case for case in cases if case["query"] == query]
            texts = [case["doc"] for case in of_query]
            groups = [texts] if together else [[text] for text in texts]
            batches = [b for group in groups for b in reranker.scores(query, group, task)]
            scores = [score for batch in batches for score in batch]
            assert scores == pytest.approx([case["score"] for case in of_query], abs=2e-3)
    reranker.close()


def test_a_prompt_has_the_reference_s_length(folder, expected):
    model = Model(read_header(folder / "lm.gguf"), ANYWHERE)
    for case in expected["rerank"]:
        question = model.tokens(clean("".join(prompts.rerank_question(case["query"]))))
        document = model.tokens(clean(prompts.rerank_document(case["doc"])))
        template = (prompts.RERANK_PREFIX, prompts.RERANK_SUFFIX)
        around = sum(len(model.tokens(part, special=True)) for part in template)
        assert around + len(question) + len(document) == case["n_tokens"]
    model.close()


def test_token_ids_are_the_reference_s(folder, expected):
    model = Model(read_header(folder / "embed.gguf"), ANYWHERE)
    for case in expected["tokens"]:
        assert model.tokens(clean(case["text"])) == case["ids"]
    model.close()


def test_embeddings_are_the_reference_s(folder, expected):
    embedder = LlamaEmbedder(read_header(folder / "embed.gguf"), ANYWHERE)
    cases = expected["embed_doc"]
    vectors = embedder.documents([case["text"] for case in cases]).vectors
    for vector, case in zip(vectors, cases, strict=True):
        assert float(vector @ np.array(case["vec"])) >= 0.9999
    for case in expected["embed_query"]:
        assert float(embedder.queries([case["text"]]).vectors[0] @ np.array(case["vec"])) >= 0.9999
    embedder.close()


def test_scores_depend_on_neither_order_nor_neighbours(folder, expected):
    reranker = LlamaReranker(read_header(folder / "lm.gguf"), ANYWHERE)
    cases = [case for case in expected["rerank"] if case["query"] == expected["rerank"][0]["query"]]
    texts = [case["doc"] for case in cases] * 4  # several packs, lengths mixed
    ahead = [score for batch in reranker.scores(cases[0]["query"], texts) for score in batch]
    texts.reverse()
    behind = [score for batch in reranker.scores(cases[0]["query"], texts) for score in batch]
    assert ahead == pytest.approx(behind[::-1], abs=2e-3)
    assert ahead == pytest.approx([case["score"] for case in cases] * 4, abs=2e-3)
    reranker.close()


BERT = json.loads((OURS / "bert_expected.json").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(BERT))
def test_bert_family_token_ids_are_the_reference_s(name):
    model = Model(read_header(OURS / f"{name}.gguf"), ANYWHERE)
    for case in BERT[name]["tokens"]:
        assert model.tokens(clean(case["text"])) == case["ids"]
    model.close()


@pytest.mark.parametrize("name", [name for name in sorted(BERT) if "embed" in BERT[name]])
def test_bert_family_embeddings_are_the_reference_s(name):
    embedder = LlamaEmbedder(read_header(OURS / f"{name}.gguf"), ANYWHERE)
    cases = BERT[name]["embed"]
    together = embedder.documents([case["text"] for case in cases]).vectors
    for vector, case in zip(together, cases, strict=True):
        assert float(vector @ np.array(case["vec"])) >= 0.9999
        # These families put no prompt around a query.
        alone = embedder.queries([case["text"]]).vectors[0]
        assert float(vector @ alone) >= 0.9999
    embedder.close()


@pytest.mark.parametrize("name", [name for name in sorted(BERT) if "rerank" in BERT[name]])
def test_cross_encoder_scores_are_the_reference_s(name):
    file = read_header(OURS / f"{name}.gguf")
    model = Model(file, ANYWHERE)
    special = SpecialTokens(model)
    for case in BERT[name]["rerank"]:
        query, document = (model.tokens(clean(case[part])) for part in ("query", "doc"))
        assert special.pair(query, document, file.context_length) == case["ids"]
    model.close()
    reranker = LlamaReranker(file, ANYWHERE)
    for query in {case["query"] for case in BERT[name]["rerank"]}:
        cases = [case for case in BERT[name]["rerank"] if case["query"] == query]
        scores = [s for b in reranker.scores(query, [case["doc"] for case in cases]) for s in b]
        assert scores == pytest.approx([case["score"] for case in cases], abs=2e-3)
    reranker.close()
