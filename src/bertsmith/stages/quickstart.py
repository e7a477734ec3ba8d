"""quickstart: the whole way, from text that every machine has to a model that answers questions.

The recipe: take the docstrings of the Python installation, fine-tune the starter encoder to tell their topics apart,
score it on a part it has not seen, leave checkpoint and report, then answer three questions; make an index of the
docstrings, and look something up in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bertsmith.checkpoint import resolve
from bertsmith.errors import OutputError
from bertsmith.report.answers import show_answer
from bertsmith.report.html import REPORT_NAME
from bertsmith.serving.searcher import Searcher
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.finetune import finetune
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.index import IndexSettings, index
from bertsmith.stages.quickstart_settings import QuickstartSettings
from bertsmith.stages.run_folder import RunFolder
from bertsmith.stages.search import show_hits
from bertsmith.training import FitOptions

SOURCE = "pydocs"
INDEX = "index"  # folder in that of the run
SEARCHED = "How do I compress a file?"
QUESTIONS = (
    "Wait until every worker thread has finished, then collect their results.",
    "Send a message with an attachment to a list of addresses.",
    "Round a decimal number to two places after the point.",
)


def quickstart(settings: QuickstartSettings, *, console: Console | None = None) -> None:
    """Train on the docstrings of this Python installation, answer three questions, and search the docstrings.

    console: where progress is told; standard error if none is given. The answers go to standard output.
    """
    console = console or Console(stderr=True)
    resolve(settings.model)  # a missing encoder is told before the docstrings are gathered
    replaces = holds_quickstart(Path(settings.out))
    if replaces:
        console.print(f"replacing the earlier quickstart in {settings.out}", highlight=False, markup=False)
    console.print(
        "gathering the docstrings of this Python installation, each with its chapter of the library reference"
    )
    model = finetune(
        FinetuneSettings(
            train=SOURCE,
            out=settings.out,
            model=settings.model,
            max_length=128,
            overwrite=replaces,
            fit=FitOptions(epochs=settings.epochs, minutes=settings.minutes, lr=2e-4, seed=settings.seed),
        ),
        console=console,
    )
    questions = ask(QUESTIONS) if sys.stdin.isatty() and sys.stdout.isatty() else list(QUESTIONS)
    out = Console()
    out.print()
    for question, answer in zip(questions, model.predict(questions), strict=True):
        out.print(show_answer(question, answer))
    look_up(SEARCHED, settings, console)
    console.print(f"open {Path(settings.out) / REPORT_NAME} in a browser; ask more with:", highlight=False)
    for more in (
        f'bertsmith predict --model {settings.out} --text "..."',
        f'bertsmith search --index {Path(settings.out) / INDEX} --query "..."',
    ):
        console.print(more, highlight=False, markup=False, soft_wrap=True)


def look_up(question: str, settings: QuickstartSettings, console: Console) -> None:
    """Make an index of the docstrings, by the vectors of the encoder as it was before training, and search it."""
    console.print("making an index of the docstrings, to be searched by meaning")
    folder = Path(settings.out) / INDEX
    how = EmbedderOptions(max_length=128)
    index(
        IndexSettings(out=str(folder), input=SOURCE, model=settings.model, overwrite=True, how=how),
        console=console,
    )
    show_hits(question, Searcher.open(folder).search([question], number=3)[0])


def ask(examples: tuple[str, ...]) -> list[str]:
    """Questions typed by a person, one for each example; an empty line, or the end of the input, takes the example."""
    out = Console()
    out.print(
        "\nDescribe something a Python program could do, and the model names the topic (Enter takes the example)."
    )
    typed = []
    for example in examples:
        out.print(Text(f"e.g. {example}", style="dim"))
        try:
            typed.append(out.input("[bold]> [/]").strip() or example)
        except EOFError:
            typed.append(example)
    return typed


def holds_quickstart(folder: Path) -> bool:
    """Whether an earlier quickstart, ended or not, has left its files. Raises `OutputError` for another's."""
    earlier = RunFolder(folder)
    if not earlier.holds_run:
        return False
    if earlier.trained_on != SOURCE:
        what = f"a run that was trained on {earlier.trained_on}" if earlier.trained_on else "what no quickstart left"
        raise OutputError(f"{folder}: holds {what}; name another --out")
    return True
