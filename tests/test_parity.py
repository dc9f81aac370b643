"""The numbers are those of the reference implementation, on small models with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qrank.llama import prompts
from qrank.llama.embedder import Embedder
from qrank.llama.engine import Model, clean
from qrank.llama.gguf import read_header
from qrank.llama.reranker import Reranker

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
@pytest.mark.parametrize("together", [True, False], ids=["packed", "alone"])
def test_p_yes_is_the_reference_s(folder, expected, name, together):
    reranker = Reranker(read_header(folder / name))
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
    model = Model(read_header(folder / "lm.gguf"))
    for case in expected["rerank"]:
        question = model.tokens(clean(prompts.rerank_question(case["query"])))
        document = model.tokens(clean(prompts.rerank_document(case["doc"])))
        template = (prompts.RERANK_PREFIX, prompts.RERANK_SUFFIX)
        around = sum(len(model.tokens(part, special=True)) for part in template)
        assert around + len(question) + len(document) == case["n_tokens"]
    model.close()


def test_token_ids_are_the_reference_s(folder, expected):
    model = Model(read_header(folder / "embed.gguf"))
    for case in expected["tokens"]:
        assert model.tokens(clean(case["text"])) == case["ids"]
    model.close()


def test_embeddings_are_the_reference_s(folder, expected):
    embedder = Embedder(read_header(folder / "embed.gguf"))
    cases = expected["embed_doc"]
    vectors = embedder.documents([case["text"] for case in cases])
    for vector, case in zip(vectors, cases, strict=True):
        assert float(vector @ np.array(case["vec"])) >= 0.9999
    for case in expected["embed_query"]:
        assert float(embedder.queries([case["text"]])[0] @ np.array(case["vec"])) >= 0.9999
    embedder.close()
