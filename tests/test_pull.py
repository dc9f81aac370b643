"""qrank pull: a hub with errors, other tools' files, and removing models."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import engine
import hub_server
import jsonschema
import pytest
from support import COMMAND, PARITY, Run, complaint, wait_until

from qrank.store.cache import Cache

Qrank = Callable[..., Run]
MODEL = (PARITY / "embed.gguf").read_bytes()
SOURCE = "hf:owner/repo-GGUF/model.gguf"
DIGEST = hashlib.sha256(MODEL).hexdigest()


@pytest.fixture
def hub(environment: dict[str, str]) -> Iterator[hub_server.Hub]:
    """A hub with one model, named in the environment of the commands that are run."""
    with hub_server.running() as server:
        server.files["owner/repo-GGUF/model.gguf"] = MODEL
        environment["HF_ENDPOINT"] = server.url
        environment["no_proxy"] = "127.0.0.1"
        yield server


def pulled(qrank: Qrank) -> Path:
    (told,) = qrank("models", "pull", SOURCE, "--json").json()
    assert told["fetched"] is True
    assert told["bytes"] == len(MODEL)
    return Path(told["path"])


def test_a_model_is_pulled_listed_verified_used_and_removed(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str]
) -> None:
    first = qrank("models", "pull", SOURCE)
    assert first.returncode == 0, first
    file = "owner/repo-GGUF/model.gguf"
    where = ["/owner/repo-GGUF/resolve/main/model.gguf", f"/bytes/{file}"]
    assert hub.paths == where  # nothing else is asked or told
    assert f"2 MB of {SOURCE}" in first.stderr  # how large, before it starts
    cache = Path(environment["HOME"]) / ".cache" / "huggingface" / "hub"
    path = cache / "models--owner--repo-GGUF/snapshots" / hub_server.COMMIT / "model.gguf"
    assert path.read_bytes() == MODEL
    (again,) = qrank("models", "pull", SOURCE, "--json").json()
    assert (again["fetched"], again["path"]) == (False, str(path))
    (checked,) = qrank("models", "verify", SOURCE, "--json").json()
    assert (checked["sha256"], checked["checked"]) == (DIGEST, True)
    assert qrank("models", "show", SOURCE, "--json").json()["file"]["kind"] == "embedder"
    out = qrank("embed", "--embed-model", SOURCE, stdin="a tide\n").lines()
    assert out == qrank("embed", "--embed-model", PARITY / "embed.gguf", stdin="a tide\n").lines()
    removed = qrank("models", "remove", SOURCE, "--json").json()
    assert removed == [{"alias": SOURCE, "path": str(path)}]
    jsonschema.validate(removed, json.loads(qrank("schema", "models", "remove").stdout))
    left = [p for p in (cache / "models--owner--repo-GGUF").rglob("*") if p.is_file()]
    assert [p.name for p in left] == ["main"]  # which commit it was
    assert "not installed" in complaint(qrank("embed", "--embed-model", SOURCE, stdin="a"))


@pytest.mark.parametrize("where", ["file", "engine"])
def test_the_file_that_made_the_vectors_of_an_index_is_the_one_for_it(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str], tmp_path: Path, where: str
) -> None:
    db = str(tmp_path / "i.db") if where == "file" else engine.index_for(tmp_path)
    assert qrank("models", "quantize", PARITY / "embed.gguf", "b.gguf").returncode == 0
    files = {"Q8_0": (tmp_path / "b.gguf").read_bytes(), "F32": MODEL}
    entry = '[[embedder]]\nalias = "mine"\n'
    for kind, data in files.items():
        hub.files[f"owner/repo/{kind}.gguf"] = data
        entry += f'[[embedder.files]]\nquantization = "{kind}"\n'
        entry += f'source = "hf:owner/repo/{kind}.gguf"\nbytes = {len(data)}\n'
        entry += f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
    config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(entry, "utf-8")
    environment["QRANK_DB"] = db

    def pull(name: str) -> str:
        (told,) = qrank("models", "pull", name, "--json").json()
        return Path(told["path"]).name

    def search() -> Run:
        return qrank("search", "a tide", "--no-rerank", "--mode", "vector", "--json")

    assert pull("mine:F32") == "F32.gguf"
    (tmp_path / "a.txt").write_text("a tide comes in")
    assert qrank("index", "a.txt", "--embed-model", "mine").returncode == 0
    shutil.rmtree(Path(environment["HOME"]) / ".cache" / "huggingface")
    assert "qrank models pull mine:F32 downloads it" in complaint(search())
    assert pull("mine") == "F32.gguf"
    assert search().json()["results"]
    assert pull("mine:Q8_0") == "Q8_0.gguf"  # now the default file is here, too
    assert search().json()["results"]
    assert qrank("index", "a.txt").returncode == 0
    if where == "file":
        Path(db).unlink()
    else:
        engine.delete_index(db)
    assert pull("mine") == "Q8_0.gguf"


def publish(
    qrank: Qrank, hub: hub_server.Hub, home: Path, folder: Path, kinds: tuple[str, ...]
) -> None:
    """Publish the embedder "mine" with a file of each of kinds; BF16 is made of F16."""
    entry = '[[embedder]]\nalias = "mine"\n'
    for kind in kinds:
        made = folder / f"{kind}.gguf"
        assert qrank("models", "quantize", PARITY / "embed.gguf", made, "--type", kind).stdout
        hub.files[f"owner/repo/{kind}.gguf"] = made.read_bytes()
        entry += f'[[embedder.files]]\nquantization = "{kind}"\n'
        entry += f'source = "hf:owner/repo/{kind}.gguf"\n'
    entry += '[[embedder.files]]\nquantization = "BF16"\nmade_of = "F16"\n'
    config = home / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(entry, "utf-8")


@pytest.mark.parametrize(
    ("rates", "taken"),
    [
        ({"Q8_0": 1000, "BF16": 500, "F16": 400}, "Q8_0.gguf"),
        ({"Q8_0": 950, "BF16": 1000, "F16": 1020}, "Q8_0.gguf"),  # as fast, less to download
        ({"Q8_0": 400, "BF16": 600, "F16": 1000}, "F16.gguf"),
        ({"Q8_0": 400, "BF16": 1000, "F16": 600}, "mine-BF16.gguf"),  # made of F16
        ({"Q8_0": 400, "BF16": 600, "F16": 500, "Q4_0": 5000}, "mine-BF16.gguf"),
        ({}, None),  # it is measured
    ],
)
def test_of_an_embedder_the_file_that_is_the_fastest_here_is_pulled(
    qrank: Qrank,
    hub: hub_server.Hub,
    environment: dict[str, str],
    tmp_path: Path,
    rates: dict[str, float],
    taken: str | None,
) -> None:
    home = Path(environment["HOME"])
    publish(qrank, hub, home, tmp_path, ("Q8_0", "Q4_0", "F16"))
    cache = Cache(home / ".cache" / "qrank" / "cache.db")
    for kind, rate in rates.items():
        cache.put_speed(f"type:{kind}", rate)

    run = qrank("models", "pull", "mine", "--json")
    (told,) = run.json()
    path = Path(told["path"])
    if taken is None:
        assert "measuring which type of file is the fastest here" in run.stderr
        assert {"type:Q8_0", "type:F16", "type:BF16"} == cache.speeds().keys()
        assert path.name in ("Q8_0.gguf", "F16.gguf", "mine-BF16.gguf")
        return
    assert path.name == taken
    assert "measuring" not in run.stderr
    if "BF16" in taken:
        assert f"converting F16.gguf ({(tmp_path / 'F16.gguf').stat().st_size / 1e6:,.0f} MB)" in (
            run.stderr
        )
        assert f"mine: {taken.removeprefix('mine-').removesuffix('.gguf')} for" in run.stderr
    assert qrank("models", "pull", "mine", "--json").json()[0]["fetched"] is False


def test_an_index_that_a_file_made_here_has_made_is_searched_with_it_elsewhere(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    home = Path(environment["HOME"])
    publish(qrank, hub, home, tmp_path, ("Q8_0", "F16"))
    environment["QRANK_DB"] = str(tmp_path / "i.db")

    def search() -> Run:
        return qrank("search", "a tide", "--no-rerank", "--mode", "vector", "--json")

    assert qrank("models", "pull", "mine:BF16").returncode == 0
    (tmp_path / "a.txt").write_text("a tide comes in")
    assert qrank("index", "a.txt", "--embed-model", "mine").returncode == 0
    assert search().json()["results"]
    assert qrank("models", "pull", "mine:Q8_0").returncode == 0  # the default is here, too
    assert search().json()["results"]
    for place in (home / ".cache", home / ".local"):  # another machine
        shutil.rmtree(place)
    assert "qrank models pull mine:BF16 downloads it" in complaint(search())
    (told,) = qrank("models", "pull", "mine", "--json").json()
    assert Path(told["path"]).name == "mine-BF16.gguf"
    assert search().json()["results"]
    shown = qrank("models", "show", "mine", "--json").json()["files"]
    assert shown[2]["made_of"] == "hf:owner/repo/F16.gguf"
    removed = qrank("models", "remove", "mine:BF16", "--json").json()
    assert removed[0]["path"] == told["path"]


def test_a_file_is_made_of_one_of_the_same_model(qrank: Qrank, environment: dict[str, str]) -> None:
    config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    entry = '[[embedder]]\nalias = "mine"\n[[embedder.files]]\nquantization = "BF16"\n'
    config.write_text(entry + 'made_of = "F16"\n', "utf-8")
    line = complaint(qrank("models", "list"))
    assert "BF16 is made of F16, which is not among its files" in line


@pytest.mark.parametrize("polite", [False, True], ids=["reset", "ended early"])
def test_twenty_cuts_give_the_same_bytes(qrank: Qrank, hub: hub_server.Hub, polite: bool) -> None:
    hub.cuts, hub.polite = 20, polite
    assert pulled(qrank).read_bytes() == MODEL
    assert hub.cuts == 0
    ranges = [asked for method, asked in hub.asked if method == "GET"]
    assert len(ranges) == 21
    assert ranges[0] == ""
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for r in ranges[1:]]
    assert all(a < b for a, b in itertools.pairwise(starts))  # nothing fetched twice


def test_an_interrupted_pull_goes_on_in_the_next_run(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.holds = True
    run = subprocess.Popen(
        [COMMAND, "models", "pull", SOURCE], env=environment, stderr=subprocess.PIPE
    )
    home = Path(environment["HOME"])
    wait_until(lambda: any(p.stat().st_size for p in home.rglob("*.part")), run)
    run.send_signal(2)
    said = run.communicate(timeout=120)[1]
    assert (run.returncode, b"Traceback" in said) == (130, False)
    (part,) = home.rglob("*.part")
    held = part.stat().st_size
    assert 0 < held < len(MODEL)
    hub.holds = False
    hub.asked.clear()
    assert pulled(qrank).read_bytes() == MODEL
    assert hub.asked[-1] == ("GET", f"bytes={held}-")


def test_a_link_that_ran_out_is_asked_for_anew(qrank: Qrank, hub: hub_server.Hub) -> None:
    hub.expired = 2
    assert pulled(qrank).read_bytes() == MODEL
    hub.files["owner/repo-GGUF/other.gguf"] = MODEL[::-1]
    hub.expired = 50
    line = complaint_of_pull(qrank("models", "pull", SOURCE.replace("model", "other")))
    assert "refused (403)" in line


def test_a_name_does_not_lead_out_of_the_cache(qrank: Qrank, hub: hub_server.Hub) -> None:
    assert "names no file" in complaint(qrank("models", "show", "hf:owner/repo/../../../x.gguf"))
    assert hub.asked == []


def test_a_wrong_checksum_leaves_nothing(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str]
) -> None:
    hub.corrupt = True
    line = complaint_of_pull(qrank("models", "pull", SOURCE))
    assert DIGEST in line
    assert "the download was deleted" in line
    left = [p for p in Path(environment["HOME"]).rglob("*") if p.is_file()]
    assert not [p for p in left if p.stat().st_size > 1000]


def complaint_of_pull(run: Run) -> str:
    """The line that a failed pull ends with; before it stands only what it was about to do."""
    assert run.returncode == 2, run
    lines = run.stderr.splitlines()
    assert all("downloading" in line for line in lines[:-1]), run
    assert "Traceback" not in run.stderr
    return lines[-1]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "it needs a login (401); check its page, and set HF_TOKEN"),
        (403, "the hub denies access (403); accept its terms"),
        (404, "the hub has no such file (404)"),
        (429, "status 429"),
        (500, "status 500"),
    ],
)
def test_a_refusal_is_one_line(qrank: Qrank, hub: hub_server.Hub, status: int, reason: str) -> None:
    hub.statuses = [(status, {"Retry-After": "0"})] * 50
    line = complaint(qrank("models", "pull", SOURCE))
    assert SOURCE in line
    assert reason in line


def test_a_busy_hub_is_asked_again_when_it_says(qrank: Qrank, hub: hub_server.Hub) -> None:
    hub.statuses = [(429, {"Retry-After": "2"}), (503, {})]
    started = time.monotonic()
    assert pulled(qrank).read_bytes() == MODEL
    assert time.monotonic() - started >= 2


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "check the network"),
        ({"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}, "check the network"),
    ],
    ids=["offline", "no network", "a dead proxy"],
)
def test_without_a_network_it_is_one_line(
    qrank: Qrank, hub: hub_server.Hub, variables: dict[str, str], reason: str
) -> None:
    line = complaint(qrank("models", "pull", SOURCE, **variables))
    assert SOURCE in line
    assert reason in line
    assert hub.asked == []


def test_a_proxys_page_is_no_model(qrank: Qrank, hub: hub_server.Hub) -> None:
    hub.page = True
    assert "the answer is a web page" in complaint(qrank("models", "pull", SOURCE))


def test_what_is_no_model_is_not_kept_as_one(qrank: Qrank, hub: hub_server.Hub) -> None:
    hub.files["owner/repo-GGUF/model.gguf"] = b"not a model at all" * 1000
    assert "not a GGUF" in complaint_of_pull(qrank("models", "pull", SOURCE))


def test_the_home_of_the_hub_and_its_token_are_used(
    qrank: Qrank, hub: hub_server.Hub, tmp_path: Path
) -> None:
    places = {"HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_secret"}
    run = qrank("models", "pull", SOURCE, "--json", **places)
    assert Path(run.json()[0]["path"]).is_relative_to(tmp_path / "hf")
    assert hub.tokens[0] == "Bearer hf_secret"
    assert "hf_secret" not in run.stdout + run.stderr
    (shown,) = qrank("models", "verify", SOURCE, "--json", **places).json()
    assert shown["checked"] is True


def test_a_full_disk_is_one_line_and_the_pull_goes_on_later(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    limited = subprocess.run(  # a limit on the size of files stands in for a full disk
        ["bash", "-c", f"ulimit -f 700; exec {COMMAND} models pull {SOURCE}"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 2, limited
    assert "no space left" in limited.stderr.splitlines()[-1]
    (part,) = Path(environment["HOME"]).rglob("*.part")
    assert part.stat().st_size == 700 * 1024
    assert pulled(qrank).read_bytes() == MODEL
    assert hub.asked[-1] == ("GET", f"bytes={700 * 1024}-")


def test_a_file_too_large_for_the_disk_is_not_begun(
    qrank: Qrank, hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qrank.errors import ModelError
    from qrank.models import hub as client
    from qrank.models.registry import File

    huge = client.Remote(hub.url, hub_server.COMMIT, DIGEST, 1 << 60, {})
    with pytest.raises(ModelError, match=r"GB free, the file needs 115.* GB"):
        client.download(File(SOURCE), huge, lambda _: None)
    assert hub.asked == []


def others(home: Path) -> dict[str, Path]:
    """Where other tools keep the file of SOURCE."""
    ollama = home / ".ollama/models"
    return {
        "Hugging Face cache": home
        / ".cache/huggingface/hub/models--owner--repo-GGUF/snapshots/abc/model.gguf",
        "llama.cpp": home / ".cache/llama.cpp/owner_repo-GGUF_model.gguf",
        "LM Studio": home / ".lmstudio/models/owner/repo-GGUF/model.gguf",
        "Ollama": ollama / f"blobs/sha256-{DIGEST}",
    }


@pytest.mark.parametrize("owner", ["Hugging Face cache", "llama.cpp", "LM Studio", "Ollama"])
def test_a_model_of_another_tool_is_found_not_fetched(
    qrank: Qrank, environment: dict[str, str], owner: str
) -> None:
    home = Path(environment["HOME"])
    path = others(home)[owner]
    path.parent.mkdir(parents=True)
    shutil.copy(PARITY / "embed.gguf", path)
    if owner == "Ollama":
        manifest = home / ".ollama/models/manifests/hf.co/owner/repo-GGUF/model"
        manifest.parent.mkdir(parents=True)
        layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{DIGEST}"}
        manifest.write_text(json.dumps({"layers": [layer]}), "utf-8")
    (told,) = qrank("models", "pull", SOURCE, "--json").json()
    assert (told["fetched"], told["path"]) == (False, str(path))
    assert qrank("models", "show", SOURCE, "--json").json()["owner"] == owner
    assert qrank("embed", "--embed-model", SOURCE, stdin="a\n").returncode == 0
    if owner != "Hugging Face cache":
        assert f"belongs to {owner}" in complaint(qrank("models", "remove", SOURCE))
        assert path.exists()


def test_a_file_of_another_size_is_not_taken_for_the_model(
    qrank: Qrank, environment: dict[str, str]
) -> None:
    folder = Path(environment["HOME"]) / ".lmstudio/models/ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF"
    folder.mkdir(parents=True)
    shutil.copy(PARITY / "cls.gguf", folder / "qwen3-reranker-0.6b-q8_0.gguf")
    listed = {(m["alias"], m["kind"]): m for m in qrank("models", "list", "--json").json()}
    assert listed["qwen3-reranker-0.6b", "reranker"]["installed"] is False


def test_a_damaged_file_does_not_verify(
    qrank: Qrank, hub: hub_server.Hub, environment: dict[str, str]
) -> None:
    path = pulled(qrank)
    blob = Path(os.path.realpath(path))
    blob.write_bytes(MODEL[:-1] + bytes([MODEL[-1] ^ 1]))
    assert "not the published file" in complaint(qrank("models", "verify", SOURCE))


def test_huggingface_hub_is_imported_by_pull_alone(qrank: Qrank) -> None:
    script = (
        "import sys; from qrank.cli.app import run\n"
        "sys.argv = ['qrank', 'models', 'list']\n"
        "run(); print(sorted({'huggingface_hub', 'httpx2', 'gguf', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
