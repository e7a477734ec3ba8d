"""A workshop for BERT encoders: raw text goes in at one end, a served answer comes out at the other.

    model = bertsmith.finetune(train="train.tsv", out="runs/x", task="classify")
    model = bertsmith.load("runs/x")
    model.predict(["what a lovely film"])

Names are imported when they are first used: ``import bertsmith`` alone takes no time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# How long torch's threads spin when they wait for each other, in rounds, before they sleep. The default spins so long
# that any other work on the cores slows training twenty-fold; a short spin is faster on idle cores too
# (docs/lab-notes.md). GNU OpenMP reads it when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from bertsmith.api import cluster, embed, finetune, index, inspect, load, prepare, pretrain, search, similar, vocab
    from bertsmith.engine import TaskModel
    from bertsmith.engine.embedder import Embedder
    from bertsmith.errors import BertsmithError
    from bertsmith.serving.searcher import Searcher
    from bertsmith.tables import Table
    from bertsmith.text import Tokenizer

    __version__: str

__all__ = [
    "BertsmithError",
    "Embedder",
    "Searcher",
    "Table",
    "TaskModel",
    "Tokenizer",
    "__version__",
    "cluster",
    "embed",
    "finetune",
    "index",
    "inspect",
    "load",
    "prepare",
    "pretrain",
    "search",
    "similar",
    "vocab",
]

_HOMES = {
    "BertsmithError": "bertsmith.errors",
    "Embedder": "bertsmith.engine.embedder",
    "Searcher": "bertsmith.serving.searcher",
    "Table": "bertsmith.tables",
    "TaskModel": "bertsmith.engine",
    "Tokenizer": "bertsmith.text",
    "cluster": "bertsmith.api",
    "embed": "bertsmith.api",
    "finetune": "bertsmith.api",
    "index": "bertsmith.api",
    "inspect": "bertsmith.api",
    "load": "bertsmith.api",
    "prepare": "bertsmith.api",
    "pretrain": "bertsmith.api",
    "search": "bertsmith.api",
    "similar": "bertsmith.api",
    "vocab": "bertsmith.api",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("bertsmith")
    if name not in _HOMES:
        raise AttributeError(f"module 'bertsmith' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
