"""An index in a folder of a test's own, changed by the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertsmith.cli.app import run
from bertsmith.embedding.index import Hit, Index
from bertsmith.embedding.index_files import read_manifest
from bertsmith.engine import TaskModel

QUERY = np.eye(32, dtype=np.float32)[:3]


class Place:
    """Changes an index in a folder of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.index = folder / "deep" / "idx"

    def words(self, texts: Mapping[Any, str] | str | bytes, *more: str) -> list[str]:
        """The command line for texts by id, or for a file of this content."""
        if isinstance(texts, Mapping):
            texts = "".join(json.dumps({"id": one, "text": text}) + "\n" for one, text in texts.items())
        source = self.folder / "texts.jsonl"
        source.write_bytes(texts if isinstance(texts, bytes) else texts.encode())
        made = {"model": self.model, "input": source, "out": self.index, "precision": "fp32"}
        return ["index", *(word for name, value in made.items() for word in (f"--{name}", str(value))), *more]

    def change(self, texts: Mapping[Any, str] | str, *more: str) -> None:
        assert run(self.words(texts, *more)) == 0

    def delete(self, *ids: str) -> list[str]:
        return ["index", "--out", str(self.index), *(word for one in ids for word in ("--delete", one))]

    def held(self, folder: Path | None = None) -> dict[str, str]:
        """The texts by id, as a search finds all of them."""
        index = Index(folder or self.index)
        (hits,) = index.search(QUERY[:1], 1000)
        assert len(hits) == len(index)
        return {hit.id: hit.text for hit in hits}


def answers(index: Path) -> list[list[Hit]]:
    return Index(index).search(QUERY, 1000)


def named_files(index: Path) -> set[str]:
    """The files that belong to an index, which shall be all there are."""
    return {"index.json", *read_manifest(index).files}


def changed_model(folder: Path, copy: Path) -> Path:
    """A copy of a model with another number among its weights."""
    model = TaskModel.open(folder)
    with torch.no_grad():
        next(model.model.parameters())[7, 7] += 0.1
    model.save(copy)
    return copy
