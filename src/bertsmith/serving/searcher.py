"""Search by meaning: an index, the model of its vectors, and maybe a cross-encoder that judges the best of them.

Enters: queries. Leaves: the texts that are nearest to each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertsmith.embedding.index import Hit, Index
from bertsmith.engine.embedder import Embedder
from bertsmith.engine.task_model import TaskModel
from bertsmith.errors import DataError, SettingsError
from bertsmith.tasks.retrieval import unit

CANDIDATES = 5  # times as many texts are reranked as are wanted


class Searcher:
    """An index, ready to be asked.

    judge: a cross-encoder of the task rerank or regress

    Raises `DataError` where the index is of other vectors than the embedder's, `SettingsError` for a judge of another
    task.

    >>> searcher = Searcher.open("idx/")                                           # doctest: +SKIP
    >>> searcher.search(["how do I compress a file"])[0][0].text                    # doctest: +SKIP
    """

    def __init__(self, index: Index, embedder: Embedder, judge: TaskModel | None = None) -> None:
        check_model(index, embedder)
        if judge is not None and judge.task.name not in ("rerank", "regress"):
            raise SettingsError(f"--rerank: a model of the task {judge.task.name!r}; give one of the task rerank")
        self.index = index
        self.embedder = embedder
        self.judge = judge

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        model: str | None = None,
        rerank: str | None = None,
        device: str = "auto",
        **how: Any,
    ) -> Searcher:
        """The index of a folder with the model that it was made with.

        model:  where that model is, if no longer where it was
        rerank: folder or name of a cross-encoder
        how:    as `Embedder.open` takes it; what is not given is as it was when the index was made
        """
        index = Index(folder)
        judge = None if rerank is None else TaskModel.open(rerank, device=device)
        return cls(index, embedder_of(index, model, device=device, **how), judge)

    def search(self, queries: Sequence[str], number: int = 10) -> list[list[Hit]]:
        """The texts nearest to each query, best first: ``number``, or all where the index has fewer."""
        wanted = number * (CANDIDATES if self.judge is not None else 1)
        found = self.index.search(unit(self.embedder.embed(queries)), wanted)
        if self.judge is not None:
            found = reranked(self.judge, queries, found)
        return [hits[:number] for hits in found]


def embedder_of(index: Index, model: str | None = None, **how: Any) -> Embedder:
    """The model that an index was made with, opened as it was then but for what is given.

    Raises `DataError` where it is gone. Whether ``model`` gives the same vectors, `check_model` tells.
    """
    made = dict(index.manifest.model)
    name = made.pop("name")
    if model is None and Path(name).is_absolute() and not Path(name).is_dir():
        raise DataError(f"{index.folder}: its model was in {name}, which is gone; say where it is now with --model")
    options: dict[str, Any] = {option: how.get(option) or made.get(option) for option in {*made, *how}}
    return Embedder.open(model or name, **options)


def reranked(judge: TaskModel, queries: Sequence[str], found: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
    """The texts of each query in the order of a cross-encoder's scores, which take the place of the cosines."""
    pairs = [(query, hit.text) for query, hits in zip(queries, found, strict=True) for hit in hits]
    scores = iter([answer["score"] for answer in judge.predict(pairs)])
    return [sorted((replace(hit, score=next(scores)) for hit in hits), key=lambda hit: -hit.score) for hits in found]


def check_model(index: Index, embedder: Embedder) -> None:
    """Raise `DataError` where vectors of this model cannot be compared with those of the index."""
    if embedder.fingerprint != index.manifest.fingerprint:
        raise DataError(
            f"{index.folder}: made with another model, or another pooling, cut or prompt, than {embedder.name} (it was "
            f"{index.manifest.model['name']}, {index.manifest.width} numbers a vector); use that one, or make the "
            f"index again with --overwrite"
        )
