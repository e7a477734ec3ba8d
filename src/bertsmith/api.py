"""bertsmith in Python: the verbs of the command line as functions.

Enters: options by the names of their flags; data as paths, tables, rows or data frames; raw text as paths. Leaves: a
model, a tokenizer or a corpus.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.engine import TaskModel
from bertsmith.engine.embedder import Embedder
from bertsmith.errors import SettingsError
from bertsmith.serving.searcher import Searcher
from bertsmith.settings import from_flat
from bertsmith.tables import Table
from bertsmith.tables.memory import Data, path_or_table
from bertsmith.text import Tokenizer

if TYPE_CHECKING:
    from rich.console import Console

    from bertsmith.corpus.shards import Corpus
    from bertsmith.embedding.index import Hit, Index
    from bertsmith.embedding.neighbours import Pair
    from bertsmith.engine.language_model import LanguageModel
    from bertsmith.stages.inspect import ModelFacts
    from bertsmith.training.options import PrecisionName

TextFiles = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def finetune(
    train: Data,
    out: str | os.PathLike[str],
    task: str = "classify",
    *,
    eval: Data | None = None,
    quiet: bool = False,
    **options: Any,
) -> TaskModel:
    """Fine-tune an encoder on a task, as ``bertsmith finetune`` does, and return the model.

    train, eval: a file, an ``hf://`` address, ``pydocs``, a `Table`, rows as dicts, or a DataFrame of pandas or polars
    out:         folder for the model, its log and its report
    task:        classify, regress, choose, tag, answer, embed or rerank
    quiet:       tell nothing on standard error
    options:     any flag of ``bertsmith finetune`` by its name, ``lr=1e-4, epochs=3, max_length=128``; where a flag
                 takes words parted by commas (``columns``), a list of them is fine, and for ``class_weights`` a dict

    Raises `BertsmithError` for whatever the caller can put right, `SettingsError` among it for an unknown option.

    >>> rows = [{"text": "a fine day", "label": "good"}, {"text": "a sad one", "label": "bad"}, ...]
    >>> model = finetune(rows, "runs/moods", epochs=4)                             # doctest: +SKIP
    """
    from bertsmith.stages.finetune import finetune as run  # draws figures: not for those who only load
    from bertsmith.stages.finetune_settings import FinetuneSettings

    values = _as_flags(options, out=out, task=task)
    values |= {"train": path_or_table(train, "train"), "eval": None if eval is None else path_or_table(eval, "eval")}
    settings = from_flat(FinetuneSettings, values)
    return run(settings, console=_console(quiet))


def vocab(input: TextFiles, out: str | os.PathLike[str], *, quiet: bool = False, **options: Any) -> Tokenizer:
    """Learn a vocabulary from raw text, as ``bertsmith vocab`` does, and return its tokenizer.

    input:   a file, folder, pattern or ``pydocs``, or several of them
    out:     folder for the tokenizer's files
    options: any flag of ``bertsmith vocab`` by its name, ``size=8000, cased=True``

    >>> tokenizer = vocab("text/", "vocab", size=8000)                            # doctest: +SKIP
    """
    from bertsmith.stages.vocab import vocab as run
    from bertsmith.stages.vocab_settings import VocabSettings

    if options.get("kind", "wordpiece") != "wordpiece":
        raise SettingsError(
            "bertsmith.vocab learns WordPiece, which it can return; bertsmith vocab --kind bpe leaves BPE"
        )
    settings = from_flat(VocabSettings, _as_flags(options, input=_names(input), out=out))
    with redirect_stdout(io.StringIO()) if quiet else nullcontext():  # the comparison with other vocabularies
        run(settings, console=_console(quiet))
    return Tokenizer.from_folder(Path(out))


def prepare(
    input: TextFiles,
    tokenizer: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    quiet: bool = False,
    **options: Any,
) -> Corpus:
    """Make a corpus for pretraining of raw text, as ``bertsmith prepare`` does, and return it.

    input:     a file, folder, pattern or ``pydocs``, or several of them
    tokenizer: folder, file or name of the tokenizer
    out:       folder for the corpus
    options:   any flag of ``bertsmith prepare`` by its name, ``duplicates="near"``. With ``workers=2`` other processes
               help; they import the script that calls this, which must keep its work under ``if __name__ ==
               "__main__"`` then. None do unless told so

    >>> corpus = prepare("text/", "vocab", "corpus")                              # doctest: +SKIP
    """
    from bertsmith.stages.prepare import prepare as run
    from bertsmith.stages.prepare_settings import PrepareSettings

    values = {"workers": 0, **_as_flags(options, input=_names(input), tokenizer=tokenizer, out=out)}
    return run(from_flat(PrepareSettings, values), console=_console(quiet))


def pretrain(
    corpus: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    phases: Sequence[Mapping[str, Any]] = (),
    quiet: bool = False,
    **options: Any,
) -> LanguageModel | None:
    """Pretrain an encoder on a corpus, as ``bertsmith pretrain`` does, and return the model.

    corpus:  folder of `prepare`
    out:     folder for the model, its log and its report
    phases:  trainings one after another, each by the options that it changes
    options: any flag of ``bertsmith pretrain`` by its name, ``preset="L4-H256", minutes=30, lr=1e-3``

    Returns ``None`` where SIGTERM broke it off; ``resume=True`` goes on from there.

    >>> model = pretrain("corpus", "runs/mini", preset="L2-H128", minutes=10, lr=1e-3)    # doctest: +SKIP
    >>> model.fill("the capital of france is [MASK].")[0][0].token                      # doctest: +SKIP
    """
    from bertsmith.stages.pretrain import pretrain as run
    from bertsmith.stages.pretrain_settings import PretrainSettings

    values = _as_flags(options, corpus=corpus, out=out, phases=json.dumps(list(phases)) if phases else "")
    return run(from_flat(PretrainSettings, values), console=_console(quiet))


def embed(texts: Sequence[str], model: str | os.PathLike[str] = "starter", **options: Any) -> NDArray[np.float32]:
    """The vectors of texts, (S, E) float32, in their order.

    options: as `Embedder.open` takes them, ``precision="int8", dimensions=64``. Who asks again and again opens an
             `Embedder` once, and calls its ``embed`` or, for texts without end, ``stream``

    >>> embed(["a text", "another"]).shape                                         # doctest: +SKIP
    (2, 384)
    """
    if isinstance(texts, str):
        raise SettingsError("embed takes a list of texts; put a single one in a list")
    return Embedder.open(os.fspath(model), **options).embed(texts)


def index(
    input: Data | Sequence[str] | None, out: str | os.PathLike[str], *, quiet: bool = False, **options: Any
) -> Index:
    """Make an index of texts, add to it or delete from it, as ``bertsmith index`` does, and return it.

    input:   a file or ``pydocs``; a list of texts; rows or a DataFrame with a column of texts, and maybe one of ids
    out:     folder of the index
    options: any flag of ``bertsmith index`` by its name, ``add=True``, ``delete=["17"]``

    >>> index(["a text", "another"], "idx")                                        # doctest: +SKIP
    """
    from bertsmith.stages.index import IndexSettings
    from bertsmith.stages.index import index as run

    delete = tuple(map(str, options.pop("delete", ())))
    values = _as_flags(options, out=out) | {"input": None if input is None else _texts(input), "delete": delete}
    return run(from_flat(IndexSettings, values), console=_console(quiet))


def search(
    index: str | os.PathLike[str], queries: str | Sequence[str], top: int = 10, **options: Any
) -> list[list[Hit]]:
    """The texts of an index nearest in meaning to each query, best first.

    options: as `Searcher.open` takes them, ``rerank="runs/judge"``. Who asks again and again opens a `Searcher` once

    >>> [hit.text for hit in search("idx", "how do I compress a file")[0]]         # doctest: +SKIP
    """
    if top < 1:
        raise SettingsError(f"top is {top}; it must be 1 or more")
    return Searcher.open(os.fspath(index), **options).search([queries] if isinstance(queries, str) else queries, top)


def similar(input: Data | Sequence[str], *, quiet: bool = False, **options: Any) -> list[Pair]:
    """The pairs of texts that are most alike, as numbers of rows from 0, best first.

    input:   as for `index`
    options: any flag of ``bertsmith similar`` by its name, ``top=20, least=0.9``
    """
    from bertsmith.stages.similar import SimilarSettings, most_similar

    settings = from_flat(SimilarSettings, _as_flags(options) | {"input": _texts(input)})
    return most_similar(settings, _console(quiet))[1]


def cluster(input: Data | Sequence[str], *, quiet: bool = False, **options: Any) -> NDArray[np.int64]:
    """The cluster of each text, from 0, the largest first; -1 for none.

    input:   as for `index`
    options: any flag of ``bertsmith cluster`` by its name, ``method="kmeans", number=20, report="page.html"``
    """
    from bertsmith.stages.cluster import ClusterSettings
    from bertsmith.stages.cluster import cluster as run

    with redirect_stdout(io.StringIO()):  # the table of the clusters
        return run(from_flat(ClusterSettings, _as_flags(options) | {"input": _texts(input)}), console=_console(quiet))


def load(
    name: str | Path,
    *,
    max_length: int | None = None,
    device: str = "auto",
    precision: PrecisionName = "fp32",
) -> TaskModel:
    """The model of a folder, or of a name on the hub, ready to ``predict``, ``evaluate`` and ``save``.

    max_length: tokens that a sequence may have; as many as in training unless given, or for a folder by other software
                as many as its tokenizer says and the encoder reads
    device:     cpu, cuda, cuda:1, ...; auto takes a GPU where there is one
    precision:  fp32 answers alike on every machine; auto is the fastest format here; bf16, fp16

    What is odd about its files is in ``model.news``, a line each.

    Raises `CheckpointError` for a folder that is missing, damaged, or has no task, `SettingsError` for a ``max_length``
    beyond what the encoder reads.
    """
    return TaskModel.open(name, max_length=max_length, device=device, precision=precision)


def inspect(name: str | Path) -> ModelFacts:
    """What the model of a folder, or of a name on the hub, is: task, sizes, training, every tensor's name and shape.

    Raises `CheckpointError` for a folder that is missing or damaged.
    """
    from bertsmith.stages.inspect import facts_of_folder

    return facts_of_folder(os.fspath(name))


def _console(quiet: bool) -> Console | None:
    from rich.console import Console

    return Console(stderr=True, quiet=True) if quiet else None


def _names(files: TextFiles) -> tuple[str, ...]:
    return tuple(os.fspath(file) for file in ([files] if isinstance(files, str | os.PathLike) else files))


def _texts(data: Data | Sequence[str]) -> str | Table:
    """A path as it is; texts, or rows that hold them, as a table."""
    if isinstance(data, list | tuple) and data and all(isinstance(one, str) for one in data):
        return Table("texts in memory", {"text": list(data)})
    return path_or_table(data, "input")  # type: ignore[arg-type]  # no list of texts any more


def _as_flags(options: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {name: _as_flag(value) for name, value in options.items()} | {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in more.items()
    }


def _as_flag(value: Any) -> Any:
    """An option's value as the command line has it: paths, lists and dicts as text, numpy's numbers as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return value
