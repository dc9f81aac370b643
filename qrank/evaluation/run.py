"""Running configurations over a dataset: query by query, resumable, timed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qrank import __version__
from qrank.api import Index
from qrank.evaluation.config import Config
from qrank.evaluation.corpus import cache_folder, file_signature, index_corpus
from qrank.evaluation.dataset import Dataset, Place
from qrank.models.registry import Registry, Role
from qrank.progress import Progress
from qrank.results import Mode, Result
from qrank.searching.search import Query
from qrank.settings import AUTO, NO_SETTINGS, Placement, Settings
from qrank.store import open_store
from qrank.urls import IndexPlace

_log = logging.getLogger("qrank")
DEPTH = 100  # documents of a ranking
MOST_CHUNKS = 400  # that are asked for, to have so many documents of several chunks each


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one query: documents with their scores, best first, and what it took. beyond:
    how many relevant documents were none of the candidates that the last stage ordered."""

    ranking: dict[str, float]
    milliseconds: float
    tokens: int
    beyond: int = 0


@dataclass(frozen=True, slots=True)
class Setup:
    """What all configurations have in common; each may say otherwise in its own settings.

    db: the index that a queries file is asked of. models None: as the index or the user's
    settings say. identical_ids: whether a document with the query's own id counts as an answer:
    in some BEIR sets queries are documents of the corpus, and BEIR drops those.
    """

    db: IndexPlace | None
    embed_model: str | None
    rerank_model: str | None
    candidates: int
    placement: Placement
    settings: Settings = NO_SETTINGS
    identical_ids: bool = False

    @property
    def models(self) -> Registry:
        """What the names of models mean."""
        return Registry(self.settings)


def run(
    dataset: Dataset,
    configs: Sequence[Config],
    queries: Sequence[str],
    setup: Setup,
    progress: Progress,
) -> Iterator[tuple[Config, dict[str, Outcome]]]:
    """Yield each configuration with its outcome for each of queries (ids of the dataset's).

    The answers of an earlier, interrupted run are reused; when all configurations are
    done, it is forgotten. The first query is asked twice, so that no time holds a model's load.
    """
    unfinished: list[Path] = []
    for config in configs:
        with _index(dataset, configs, config, setup, progress) as index:
            if not unfinished:
                _warn_of_missing(index.path, {place.path for place in dataset.places.values()})
            # Once for nothing: models load, and what the index keeps of them is written.
            _ask(index, dataset, config, setup, queries[0])
            cache = _kept_in(dataset, config, setup, index.path)
            outcomes = _read(cache)
            if outcomes:
                _log.warning(
                    "resuming %s %s: %d of %d queries are done",
                    dataset.name,
                    config.name,
                    len(outcomes),
                    len(queries),
                )
            unfinished.append(cache)
            progress.stage(f"{dataset.name} {config.name}", len(queries))
            progress.advance(len(outcomes.keys() & set(queries)))
            for name in queries:
                if name in outcomes:
                    continue
                outcomes[name] = _ask(index, dataset, config, setup, name)
                with cache.open("a", encoding="utf-8") as log:
                    log.write(json.dumps([name, asdict(outcomes[name])]) + "\n")
                progress.advance()
        yield config, {name: outcomes[name] for name in queries}
    for cache in unfinished:
        cache.unlink(missing_ok=True)


def _index(
    dataset: Dataset, configs: Sequence[Config], config: Config, setup: Setup, progress: Progress
) -> Index:
    """The index that a configuration is run on, open."""
    embed_model = _setting(config, "embed_model", setup.embed_model)
    rerank_model = _setting(config, "rerank_model", setup.rerank_model)
    path: IndexPlace | None = setup.db
    if dataset.corpus:
        embedding = [c for c in (config, *configs) if c.mode is not Mode.bm25]
        # BM25 alone runs on the index that another configuration needs anyway.
        model = _model(embedding[0], "embed_model", setup) if embedding else None
        path = index_corpus(dataset.corpus, setup.models, model, setup.placement, progress)
    return Index(
        path,
        embed_model=embed_model,
        rerank_model=rerank_model,
        placement=setup.placement,
        settings=setup.settings,
    )


def _warn_of_missing(index: IndexPlace, paths: Collection[str]) -> None:
    with open_store(index) as store:
        missing = [path for path in sorted(paths) if not store.chunks_of_file(path)]
    if missing:
        _log.warning(
            "%d of %d relevant files are not in the index, such as %s",
            len(missing),
            len(paths),
            missing[0],
        )


def _model(config: Config, key: str, setup: Setup) -> str:
    """The model of a configuration: its own, else that of the options, else of the settings."""
    typed = _setting(config, key, getattr(setup, key))
    return setup.settings.get(key, typed, AUTO) or AUTO


def _setting(config: Config, name: str, default: str | None) -> str | None:
    value = config.settings.get(name)
    return str(value) if value is not None else default


def _ask(index: Index, dataset: Dataset, config: Config, setup: Setup, name: str) -> Outcome:
    query = Query(
        text=dataset.queries[name],
        mode=config.mode,
        limit=MOST_CHUNKS,
        candidates=setup.candidates,
        syntax=False,
        cached=False,
    )
    given = {k: v for k, v in config.settings.items() if not k.endswith("_model")}
    before = index.decoded
    answer = index.answer(replace(query, **given), rerank=config.rerank)  # type: ignore[arg-type]
    without = name if dataset.corpus and not setup.identical_ids else None
    ordered = [r for r in answer.results if r.scores.rerank or not config.rerank]
    candidates = documents(ordered, dataset, name, without, len(ordered))
    relevant = {d for d, grade in dataset.judgements[name].items() if grade > 0 and d != without}
    return Outcome(
        documents(answer.results, dataset, name, without),
        answer.timings_ms["total"],
        index.decoded - before,
        len(relevant - candidates.keys()),
    )


def documents(
    results: Sequence[Result],
    dataset: Dataset,
    query: str,
    without: str | None = None,
    depth: int = DEPTH,
) -> dict[str, float]:
    """The first depth documents of a ranking of chunks: each counts by its best chunk. without:
    a document that is passed over.

    In an index of files a chunk stands for the judged place that it answers, else for its file.
    """
    ranking: dict[str, float] = {}
    places = {n: dataset.places[n] for n in dataset.judgements[query]} if dataset.places else {}
    for result in results:
        name = _document(result, places)
        if name not in ranking and name != without:
            ranking[name] = result.score
        if len(ranking) == depth:
            break
    return ranking


def _document(result: Result, places: Mapping[str, Place]) -> str:
    for name, place in places.items():
        if result.path == place.path and (
            place.line is None or result.start_line <= place.line <= result.end_line
        ):
            return name
    if any(place.path == result.path for place in places.values()):
        return f"{result.path}:{result.start_line}"  # the right file, not the right line
    return result.path


def _kept_in(dataset: Dataset, config: Config, setup: Setup, index: IndexPlace) -> Path:
    """Where the outcomes of an unfinished run are kept: of the same queries by the same models on
    the same index, as all of them are now."""
    names = (
        (Role.embedder, _model(config, "embed_model", setup)),
        (Role.reranker, _model(config, "rerank_model", setup)),
    )
    models = [setup.models.resolve(role, name).path for role, name in names]
    files = list(models)
    if isinstance(index, Path):
        files = [index, index.with_name(f"{index.name}-wal"), *models]
    looks = [file_signature(path) if path and path.exists() else None for path in files]
    options = replace(setup, settings=NO_SETTINGS)
    seen = repr((__version__, dataset, config, options, index, looks))
    folder = cache_folder() / "unfinished"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(seen.encode('utf-8', 'replace')).hexdigest()[:24]}.jsonl"


def _read(file: Path) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    if file.exists():
        for line in file.read_text("utf-8").splitlines():
            try:
                name, fields = json.loads(line)
            except ValueError:
                continue  # truncated in the middle
            outcomes[name] = Outcome(**fields)
    return outcomes
