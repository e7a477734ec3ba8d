"""Options of `prepare`, all in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter

from bertsmith.corpus.cleaning import CleaningOptions
from bertsmith.corpus.sources import Form
from bertsmith.corpus.writing import BuildOptions
from bertsmith.errors import SettingsError

MOST_WORKERS = 8  # more than these wait for the one process that reads


@dataclass(frozen=True)
class PrepareSettings:
    """Options of `prepare`."""

    input: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=(), metavar="FILE")]
    """Text: files, folders, patterns such as "text/*.gz"; or pydocs."""
    tokenizer: str
    """Its vocabulary: a folder of bertsmith vocab, a model, vocab.txt, starter, or a name on the hub."""
    out: str
    """Folder for the corpus."""
    form: Form = "auto"
    """Form of the files, where it is not the one that their beginning shows."""
    text: str | None = None
    """Column or key of the text in Parquet and JSON, if it has no usual name."""
    workers: int | None = None
    """Processes that split and tokenize; as many as there are cores, if not given, and 0 for none besides this one."""
    resume: bool = False
    """Go on with the corpus in --out where it was stopped or killed."""
    overwrite: bool = False
    """Replace the corpus that is in --out."""
    show: int = 0
    """Print so many pretraining instances of the corpus as a person would read them."""

    build: Annotated[BuildOptions, Parameter(name="*", group="Corpus")] = field(default_factory=BuildOptions)
    cleaning: Annotated[CleaningOptions, Parameter(name="*", group="Cleaning")] = field(default_factory=CleaningOptions)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise SettingsError(f"--workers is {self.workers}; it must be 0 or more")
        if self.show < 0:
            raise SettingsError(f"--show is {self.show}; it must be 0 or more")
        if self.resume and self.overwrite:
            raise SettingsError("--resume and --overwrite contradict each other; give one of them")

    @property
    def num_workers(self) -> int:
        """The number of ``--workers``, or of the cores that this process may use."""
        if self.workers is not None:
            return self.workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, MOST_WORKERS)
