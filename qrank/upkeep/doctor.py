"""Checks of this machine and its models: `qrank doctor`."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain

from qrank.errors import QrankError
from qrank.llama import gguf
from qrank.models.registry import Entry, ModelChoice, Registry, Role
from qrank.progress import Progress
from qrank.reports import Check
from qrank.settings import Placement
from qrank.upkeep.inventory import ROLE_KINDS

# Questions, a chunk that answers each, and one that has its words or none, but no answer.
PAIRS = (
    (
        "how do I change a flat bicycle tyre",
        "To mend a flat bicycle tyre, take the wheel off, lever the tyre from the rim, change the "
        "inner tube and pump it up.",
        "The council meets on the first Monday of each month to discuss parking fees.",
    ),
    (
        "how long should eggs be boiled",
        "Boil eggs for six minutes if you like the yolk soft, ten minutes for hard-boiled eggs.",
        "The train to the coast leaves from platform two and takes about three hours.",
    ),
    (
        "what causes the tides of the sea",
        "The tides are caused by the pull of the moon and the sun on the water of the sea.",
        "An invoice must name the date, the amount and the number of the account.",
    ),
)
REBUILD = (
    "it is slower than it could be; with a compiler: pip install --force-reinstall --no-deps "
    "--no-binary llama-cpp-python llama-cpp-python"
)
REBUILD_AMX = (
    "Q8_0 files run at half the speed; with CXXFLAGS='-fno-dse -fno-tree-dse', or with GCC 13.3 or "
    "newer: pip install --force-reinstall --no-deps --no-cache-dir --no-binary llama-cpp-python "
    "llama-cpp-python"
)
FLAT = 1e-6  # scores that differ by less tell nothing


def examine(
    models: Registry, embed_name: str, rerank_name: str, placement: Placement, progress: Progress
) -> Iterator[Check]:
    """All checks, each as it is done; the names are those of the models in use. progress is
    notified of each before it begins."""
    from qrank.store.check import engine

    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield engine()
    progress.stage("checking llama.cpp", None)
    yield from _guarded("llama.cpp", _llama)
    for entry in models.entries:
        progress.stage(f"checking the model {entry.alias}", None)
        yield from _guarded(f"model {entry.alias}", _model, entry)
    for role, name in ((Role.embedder, embed_name), (Role.reranker, rerank_name)):
        progress.stage(f"testing the {role} {name}", None)
        yield from _guarded(f"self-test of the {role}", _self_test, models, role, name, placement)


def _guarded(name: str, check: Callable[..., Iterator[Check]], *given: object) -> Iterator[Check]:
    """What check finds; what it can't find out is a failure of its own."""
    try:
        yield from check(*given)
    except QrankError as error:
        reason, _, hint = str(error).partition("; ")
        yield Check(name, "fail", reason, hint)
    except (ImportError, OSError) as error:
        yield Check(name, "fail", f"can't be loaded ({error})", "reinstall llama-cpp-python")


def _llama() -> Iterator[Check]:
    from qrank.llama import devices, instructions
    from qrank.llama.binding import system_info

    features = system_info()
    detail = f"{devices.build()}; {features}"
    lacks = instructions.missing(features, instructions.of_this_processor())
    if lacks:
        detail += f"; built without {', '.join(lacks)}, which this processor has"
        yield Check("llama.cpp", "warn", detail, REBUILD)
    elif instructions.amx_crashes():
        detail += "; the compiler broke its AMX code, which is not used"
        yield Check("llama.cpp", "warn", detail, REBUILD_AMX)
    else:
        yield Check("llama.cpp", "ok", detail)
    all_devices = devices.devices()
    for device in all_devices:
        memory = f", {device.free / 1e9:.1f} of {device.total / 1e9:.1f} GB free"
        detail = f"{device.description or device.name}{memory if device.total else ''}"
        yield Check(f"device {device.name}", "ok", detail)
    gpus = [device for device in all_devices if device.name.lower() != devices.CPU]
    if not gpus:
        yield Check(
            "gpu",
            "ok",
            "this build of llama.cpp has no GPU support",
            "for a GPU, reinstall llama-cpp-python with CMAKE_ARGS, such as -DGGML_CUDA=on",
        )


def _model(entry: Entry) -> Iterator[Check]:
    """What an installed model's file is; nothing of those that are not here."""
    place = None if entry.server else entry.find()
    if place is None:
        return
    header = gguf.read_header(place.path)
    kind = ROLE_KINDS.get(header.kind, header.kind.value)
    name = f"model {entry.alias} ({entry.role})"
    if not kind.startswith(entry.role.value):
        hint = f"qrank models remove {entry.alias}, then pull it again"
        yield Check(name, "fail", f"{place.path} is {kind}, not the {entry.role}", hint)
        return
    expected_size = next((f.bytes for f in entry.files if f.find() == place), None)
    size = place.path.stat().st_size
    if expected_size and expected_size != size:
        hint = f"qrank models verify {entry.alias} shows whether that matters"
        yield Check(name, "warn", f"{place.path} has {size} bytes, published {expected_size}", hint)
    else:
        yield Check(name, "ok", f"{kind}; {size / 1e6:,.0f} MB, {place.path}")


def _self_test(models: Registry, role: Role, name: str, placement: Placement) -> Iterator[Check]:
    """Whether the model in use finds the right one of known pairs."""
    choice = models.resolve(role, name)
    score = _by_embedder if role is Role.embedder else _by_reranker
    title = f"self-test of the {role}"
    scores = score(choice, placement)
    right = sum(relevant > other for relevant, other in scores)
    detail = f"{choice.name}: {right} of {len(PAIRS)} test pairs ranked correctly"
    flat = all(abs(relevant - other) < FLAT for relevant, other in scores)
    if flat:
        hint = "the file is damaged or of a wrong kind: see qrank models show and verify"
        yield Check(title, "fail", f"{choice.name} scores all texts the same", hint)
    elif right == len(PAIRS):
        yield Check(title, "ok", detail)
    else:
        hint = "a weak or broken model; qrank models list shows others"
        yield Check(title, "warn" if right else "fail", detail, hint)


def _by_embedder(choice: ModelChoice, placement: Placement) -> list[tuple[float, float]]:
    from qrank.inference.loading import load_embedder

    with closing(load_embedder(choice, placement)) as embedder:
        queries = embedder.queries([query for query, _, _ in PAIRS]).vectors
        relevant = embedder.documents([text for _, text, _ in PAIRS]).vectors
        others = embedder.documents([text for _, _, text in PAIRS]).vectors
    pairs = zip((queries * relevant).sum(axis=1), (queries * others).sum(axis=1), strict=True)
    return [(float(a), float(b)) for a, b in pairs]


def _by_reranker(choice: ModelChoice, placement: Placement) -> list[tuple[float, float]]:
    from qrank.inference.loading import load_reranker

    scores = []
    with closing(load_reranker(choice, placement)) as reranker:
        for query, relevant, other in PAIRS:
            first, second = chain.from_iterable(reranker.scores(query, [relevant, other]))
            scores.append((first, second))
    return scores
