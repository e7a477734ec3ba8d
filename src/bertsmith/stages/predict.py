"""predict: a trained model and texts -> answers.

The recipe: gather the questions from the command line or a file, open the model, answer chunk by chunk in order, and
show the answers to a person or write them as JSON lines.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import track

from bertsmith.engine import TaskModel
from bertsmith.engine.choosing import EngineName, InferencePrecision
from bertsmith.errors import SettingsError
from bertsmith.files import write_text
from bertsmith.report.answers import show_answer
from bertsmith.report.words import format_duration
from bertsmith.stages.answer_lines import check_output, ids_of, json_lines
from bertsmith.stages.opened import open_model, remarks, tell
from bertsmith.stages.options import ColumnOptions, Words
from bertsmith.tables import Table, read_texts
from bertsmith.tasks import Columns
from bertsmith.text.pydocs import SOURCES

CHUNK = 4096  # rows answered between two signs of progress


@dataclass(frozen=True)
class PredictSettings:
    """Options of `predict`."""

    model: str
    """Folder of the trained model, or its name on the hub."""
    text: Words = ()
    """A text to answer; give it again for more texts. With --input, the column of the texts."""
    text_pair: Words = ()
    """The second text of a pair, one for each --text. With --input, the column of the second texts."""
    question: Words = ()
    """answer: a question about --context; give both again for more."""
    context: Words = ()
    """answer: the text that holds the answers; one for each --question, or one for all."""
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True, metavar="TEXT")] = None
    """choose: what is to be continued by one of the --ending."""
    ending: Words = ()
    """choose: a possible ending; give it two times or more."""
    input: str | None = None
    """File to answer: lines of text, CSV, TSV, JSONL, Parquet, SQuAD JSON or CoNLL columns."""
    output: str | None = None
    """File for the answers to --input, as JSON lines in the order of the rows; standard output if not given."""
    columns: str | None = None
    """Names of the columns of an --input without a header."""
    json: bool = False
    """Print JSON lines on a terminal as well."""
    max_length: int | None = None
    """Most tokens of a sequence; as in training unless given."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    engine: EngineName = "auto"
    """torch, openvino, or auto: OpenVINO on a CPU that has enough to do, torch elsewhere."""
    precision: InferencePrecision = "fp32"
    """Number format of matrix products; fp32 answers alike on every machine, auto is the fastest here but int8."""

    def __post_init__(self) -> None:
        if self.input is None:
            self._check_words()
        else:
            self._check_file()

    def _check_words(self) -> None:
        asked = [name for name in ("text", "question", "prompt") if getattr(self, name)]
        ways = "--text, --question and --context, --prompt and --ending, or --input"
        if len(asked) != 1:
            raise SettingsError(f"give one of {ways}" if asked else f"nothing to answer; give {ways}")
        for name, owner in (("context", "question"), ("ending", "prompt"), ("text_pair", "text")):
            if getattr(self, name) and not getattr(self, owner):
                raise SettingsError(f"--{name.replace('_', '-')} needs a --{owner}")
        for name in ("output", "columns"):
            if getattr(self, name) is not None:
                raise SettingsError(f"--{name} is for --input; name a file with it")

    def _check_file(self) -> None:
        for name in ("question", "context", "prompt", "ending"):
            if getattr(self, name):
                raise SettingsError(
                    f"--input and --{name} exclude each other; with a file, --text and --text-pair name its columns"
                )
        if max(len(self.text), len(self.text_pair)) > 1:
            raise SettingsError("with --input, --text and --text-pair name a column each; give each once")

    @property
    def inputs(self) -> list[Any]:
        """The questions of the command line, as `TaskModel.predict` takes them."""
        if self.prompt is not None:
            return [{"prompt": self.prompt, "endings": list(self.ending)}]
        firsts = self.text or self.question
        seconds = self.text_pair if self.text else self.context
        if self.question and len(seconds) == 1:
            seconds = seconds * len(firsts)
        if not seconds and self.text:
            return list(firsts)
        if len(firsts) != len(seconds):
            one, other = ("--text", "--text-pair") if self.text else ("--question", "--context")
            raise SettingsError(f"{len(firsts)} {one} but {len(seconds)} {other}; give as many of each")
        return list(zip(firsts, seconds, strict=True))

    @property
    def parts(self) -> Columns:
        """Which columns of --input hold what."""
        return Columns(next(iter(self.text), None), next(iter(self.text_pair), None))


def predict(settings: PredictSettings, *, console: Console | None = None) -> None:
    """Answer the questions of the command line, or a file of them.

    console: where progress and remarks go; standard error if none is given
    """
    console = console or Console(stderr=True)
    if settings.output is not None:
        check_output(settings.output)
    if settings.input is not None:
        _predict_file(settings, settings.input, console)
        return
    inputs = settings.inputs
    model = _open(settings, console)
    examples = model.task.examples_of_texts(inputs)
    encoded = model.encode(examples)
    tell(remarks(encoded, model.max_length), console)
    answers = model.answers(encoded, examples)
    if settings.json or not sys.stdout.isatty():
        sys.stdout.write(json_lines(answers))
        return
    for given, answer in zip(inputs, answers, strict=True):
        Console().print(show_answer(given, answer))


def _open(settings: PredictSettings, console: Console) -> TaskModel:
    return open_model(
        settings.model,
        max_length=settings.max_length,
        device=settings.device,
        precision=settings.precision,
        engine=settings.engine,
        console=console,
    )


def _predict_file(settings: PredictSettings, path: str, console: Console) -> None:
    table = read_texts(path, columns=ColumnOptions(settings.columns).names, sources=SOURCES)
    model = _open(settings, console)
    model.task.read(table, settings.parts, labelled=False)  # all at once: errors come before any answer

    began = time.monotonic()
    written: list[str] = []
    found: Counter[str] = Counter()
    for lines, remarked in _answer_chunks(model, table, settings.parts, console):
        found += remarked
        if settings.output is None:
            sys.stdout.write(lines)
        else:
            written.append(lines)
    tell(found, console)
    if settings.output is not None:
        write_text(Path(settings.output), "".join(written))
        took = format_duration(time.monotonic() - began)
        console.print(f"{len(table):,} answers in {settings.output} ({took})", highlight=False, markup=False)


def _answer_chunks(
    model: TaskModel, table: Table, parts: Columns, console: Console
) -> Iterator[tuple[str, Counter[str]]]:
    """The answers to the rows of a table as JSON lines, chunk after chunk, and the remarks on each."""
    ids = ids_of(table)
    starts = range(0, len(table), CHUNK)
    watched = console.is_terminal and len(starts) > 1
    for start in track(starts, "answering", console=console, disable=not watched):
        rows = range(start, min(start + CHUNK, len(table)))
        examples = model.task.read(table.select(rows), parts, labelled=False)
        encoded = model.encode(examples)
        lines = json_lines(model.answers(encoded, examples), None if ids is None else ids[rows.start : rows.stop])
        yield lines, remarks(encoded, model.max_length)
