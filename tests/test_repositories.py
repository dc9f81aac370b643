"""Models from a publisher's repository: downloaded file by file, converted, and used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import hub_server
import pytest
from modernbert_folder import EXPECTED, publish
from support import Run, last_complaint

Qrank = Callable[..., Run]
REPOSITORY = "cross-encoder/ettin-reranker-17m-v1"
NAME = "ettin-reranker-17m"


@pytest.fixture
def hub(environment: dict[str, str], tmp_path: Path) -> Iterator[hub_server.Hub]:
    """A hub that has the small ModernBERT in the layout of the Ettin rerankers."""
    folder = publish(tmp_path / "published", "modules", "cls")
    with hub_server.running() as server:
        for path in folder.rglob("*"):
            if path.is_file():
                name = f"{REPOSITORY}/{path.relative_to(folder).as_posix()}"
                server.files[name] = path.read_bytes()
        environment["HF_ENDPOINT"] = server.url
        environment["no_proxy"] = "127.0.0.1"
        yield server


def left(environment: dict[str, str]) -> list[Path]:
    return list(Path(environment["HOME"], ".local/share/qrank/models").glob("*"))


def test_a_reranker_is_made_of_its_repository(qrank: Qrank, hub: hub_server.Hub) -> None:
    run = qrank("models", "pull", NAME)
    assert run.returncode == 0, run
    assert f"downloading 1 MB of hf:{REPOSITORY}/model.safetensors" in run.stderr
    revisions = {
        path.split("/resolve/")[1].split("/")[0] for path in hub.paths if "resolve" in path
    }
    assert revisions == {"main", hub_server.COMMIT}  # the first asks which, the others for that
    (told,) = qrank("models", "pull", NAME, "--json").json()
    assert told["fetched"] is False
    case = next(c for c in EXPECTED["rank"]["modules-cls"] if "\n" not in c["doc"])
    words = ("rerank", case["query"], "--rerank-model", NAME, "--jsonl")
    (line,) = qrank(*words, stdin=case["doc"]).lines()
    assert line["score"] == pytest.approx(case["score"], abs=3e-3)  # its matrices are F16
    (listed,) = [m for m in qrank("models", "list", "--json").json() if m["alias"] == NAME]
    assert (listed["installed"], listed["source"]) == (True, f"hf:{REPOSITORY}")
    assert qrank("models", "verify", NAME).returncode == 0
    assert qrank("models", "remove", NAME).returncode == 0


@pytest.mark.parametrize(
    "missing", ["config.json", "tokenizer.json", "2_Dense/model.safetensors", "model.safetensors"]
)
def test_a_repository_without_a_file_leaves_nothing(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str], missing: str
) -> None:
    del hub.files[f"{REPOSITORY}/{missing}"]
    line = last_complaint(qrank("models", "pull", NAME))
    assert f"{missing}: the hub has no such file" in line
    assert left(environment) == []


def test_a_repository_of_another_kind_leaves_nothing(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str]
) -> None:
    name = f"{REPOSITORY}/config.json"
    hub.files[name] = hub.files[name].replace(b"ModernBertModel", b"MambaModel")
    assert "is a MambaModel" in last_complaint(qrank("models", "pull", NAME))
    assert left(environment) == []


def test_modules_do_not_lead_out_of_the_folder(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str]
) -> None:
    name = f"{REPOSITORY}/modules.json"
    hub.files[name] = hub.files[name].replace(b"2_Dense", b"../../../x")
    assert "names folders" in last_complaint(qrank("models", "pull", NAME))
    assert left(environment) == []


def test_weights_that_are_not_those_of_the_hub_are_refused(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str]
) -> None:
    hub.corrupt = True
    assert "has the SHA-256" in last_complaint(qrank("models", "pull", NAME))
    assert left(environment) == []
