"""All that a server holds: its models by name, its indexes, and what they share.

Enters: what is to be served. Leaves: the model or the index that a request is for. Models are exchanged while they are
served: the old one answers until the new one is warm, and what it has accepted to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from bertsmith.embedding.index import Hit, Index
from bertsmith.errors import BertsmithError, DataError
from bertsmith.serving.call import Call
from bertsmith.serving.journal import Journal
from bertsmith.serving.keys import Keys
from bertsmith.serving.kinds import ServedEmbedder, ServedTask
from bertsmith.serving.limits import Limits
from bertsmith.serving.meters import Meters
from bertsmith.serving.refusals import NotFound, Refusal, Unfit, Unready
from bertsmith.serving.searcher import CANDIDATES, check_model
from bertsmith.serving.served import Served
from bertsmith.tasks.retrieval import unit

THREADS = 2  # that tokenize, search and reload beside the event loop
Kind = TypeVar("Kind", bound=Served)


class Service:
    """Models and indexes, ready to be asked.

    openers: what opens each model, by name; called again to open it anew
    indexes: by name, each with the name of the model of its vectors
    """

    def __init__(
        self,
        openers: dict[str, Callable[[], Served]],
        indexes: dict[str, tuple[Index, str]],
        *,
        limits: Limits,
        keys: Keys,
        journal: Journal,
        log_texts: bool = False,
    ) -> None:
        self.openers = openers
        self.indexes = indexes
        self.limits = limits
        self.keys = keys
        self.journal = journal
        self.log_texts = log_texts
        self.meters = Meters()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="beside")
        self.models: dict[str, Served] = {}
        self.draining = False
        self._reloading = asyncio.Lock()

    def open(self) -> None:
        """Open and warm every model. Raises as the openers do."""
        for name in self.openers:
            self.models[name] = self._warmed(name)
            self.models[name].show()

    def close(self) -> None:
        """End the queues, once nothing is asked any more."""
        for served in self.models.values():
            served.close()
        self.threads.shutdown()

    def _warmed(self, name: str) -> Served:
        served = self.openers[name]()
        for line in served.news:
            self.journal.tell("note", model=name, note=line)
        self._check_indexes(name, served)
        served.warm(self.threads, self.meters)
        return served

    async def reload(self, names: Sequence[str]) -> None:
        """Open models anew, one after another, while the old ones serve.

        Raises `Unfit` for one that cannot be opened: the old one stays.
        """
        async with self._reloading:
            for name in names:
                loop = asyncio.get_running_loop()
                try:
                    fresh = await loop.run_in_executor(None, self._warmed, name)
                except Exception as error:
                    self.journal.tell("reload failed", level="error", model=name, error=str(error))
                    told = str(error) if isinstance(error, BertsmithError) else f"{type(error).__name__}, see the log"
                    raise Unfit(f"{name} was not reloaded, the one before goes on: {told}") from error
                old, self.models[name] = self.models[name], fresh
                fresh.show()
                self.journal.tell("reloaded", model=name)
                await loop.run_in_executor(None, old.close)

    def _check_indexes(self, name: str, served: Served) -> None:
        """Raise `DataError` where a model does not give the vectors of the indexes that it is for."""
        for index, of in self.indexes.values():
            if of == name:
                if not isinstance(served, ServedEmbedder):
                    raise DataError(f"{index.folder}: its vectors are to be those of {name}, which gives none")
                check_model(index, served.embedder)

    def find(self, name: str | None, kind: type[Kind], tasks: Sequence[str], route: str) -> Kind:
        """The named model, or the first that a route is for.

        Raises `NotFound` for a name that is not served, and `Unfit` where it is of another task.
        """
        if name is None:
            for served in self.models.values():
                if isinstance(served, kind) and served.task in tasks:
                    return served
            raise NotFound(f"{route} needs a model of the task {' or '.join(tasks)}, and none is served ({self.names})")
        found = self.models.get(name)
        if found is None:
            raise NotFound(f"there is no model {name!r:.80}; served are: {self.names}")
        if not isinstance(found, kind) or found.task not in tasks:
            raise Unfit(f"{route} is for the task {' or '.join(tasks)}, and {name} is of the task {found.task}")
        return found

    @property
    def names(self) -> str:
        """The models, for a message."""
        return ", ".join(f"{name} ({served.task})" for name, served in self.models.items())

    async def search(
        self, call: Call, name: str | None, query: str, top: int, find_judge: Callable[[], ServedTask] | None
    ) -> list[Hit]:
        """The texts of an index nearest to a query, best first, in the order of a judge where one is to be found."""
        if not self.indexes:
            raise NotFound("no index is served; start the server with --index FOLDER")
        if name is not None and name not in self.indexes:
            raise NotFound(f"there is no index {name!r:.80}; served are: {', '.join(self.indexes)}")
        if find_judge is not None:
            find_judge()  # what is wrong with it is told first; by the time it is needed it may be another
        index, model = self.indexes[name or next(iter(self.indexes))]
        embedder = self.models[model]
        assert isinstance(embedder, ServedEmbedder)
        vectors = unit(await embedder.embed(call, [query]))
        wanted = top * (CANDIDATES if find_judge is not None else 1)
        found: list[list[Hit]] = await embedder.in_thread(lambda: index.search(vectors, wanted))
        if find_judge is None or not found[0]:
            return found[0][:top]
        pairs = [[query, hit.text] for hit in found[0]]
        scores = (await find_judge().scores(call, pairs, truncate=True))[:, 0]
        ranked = sorted(zip(scores.tolist(), found[0], strict=True), key=lambda one: -one[0])
        return [Hit(hit.id, hit.text, score) for score, hit in ranked[:top]]

    async def check_health(self) -> None:
        """Raise `Unready` while the server is ending, and for a model whose engine is broken."""
        if self.draining:
            raise Unready("shutting down")
        for name, served in self.models.items():
            if not await served.works():
                raise Unready(f"the engine of {name} fails")

    def refuse_overload(self) -> None:
        """Raise `Overloaded` where every model has more to do than may wait."""
        for served in self.models.values():
            if not served.batcher.is_full:
                return
        for served in self.models.values():
            served.batcher.admit(0)

    def tell_refused(self, refusal: Refusal) -> None:
        """Count and log what was refused before it was a request."""
        self.meters.errors.labels(refusal.kind).inc()
        self.journal.tell("refused", status=refusal.status, error=refusal.kind, reason=refusal.reason)

    def describe(self) -> dict[str, Any]:
        """Models and indexes, for clients and the playground."""
        return {
            "models": [served.describe() for served in self.models.values()],
            "indexes": [
                {"id": name, "texts": len(index), "model": model} for name, (index, model) in self.indexes.items()
            ],
        }
