"""prepare: raw text and a tokenizer -> a corpus for pretraining.

The recipe: find the text, build the corpus shard by shard, tell what became of the text, and show a few instances.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bertsmith.checkpoint import hold_folder
from bertsmith.corpus.building import build
from bertsmith.corpus.instances import InstanceOptions, Stream, show
from bertsmith.corpus.manifest import MANIFEST, Manifest
from bertsmith.corpus.shards import Corpus
from bertsmith.corpus.sources import find_sources
from bertsmith.errors import OutputError
from bertsmith.report.reading import ReadingProgress
from bertsmith.report.terminal import tabulate_counts
from bertsmith.report.words import format_duration
from bertsmith.stages.prepare_settings import PrepareSettings
from bertsmith.stages.tokenizers import open_tokenizer


def prepare(settings: PrepareSettings, *, console: Console | None = None) -> Corpus:
    """Make a corpus of text in ``settings.out``, and print the instances that are asked for.

    console: where progress and counts are told; standard error if none is given

    Returns the corpus, open for reading.
    """
    console = console or Console(stderr=True)
    folder = Path(settings.out)
    check_folder(folder, resume=settings.resume, overwrite=settings.overwrite)
    tokenizer = open_tokenizer(settings.tokenizer)
    sources = find_sources(settings.input, form=settings.form, text=settings.text)
    with hold_folder(folder), ReadingProgress(console=console) as progress:
        check_folder(folder, resume=settings.resume, overwrite=settings.overwrite)
        manifest = build(
            sources,
            tokenizer,
            folder,
            settings.build,
            settings.cleaning,
            more_options={"form": settings.form, "text": settings.text},
            workers=settings.num_workers,
            resume=settings.resume,
            told=progress.tell,
        )
    show_counts(manifest, console)
    speed = f"{format_duration(progress.elapsed)}, {progress.speed:.1f} MB/s" if progress.speed else "whole already"
    console.print(f"{manifest.text_bytes / 1e6:,.1f} MB of text in {folder} ({speed})", highlight=False, markup=False)
    corpus = Corpus.open(folder)
    if settings.show:
        show_instances(corpus, settings.show)
    return corpus


def check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise `OutputError` where a corpus would be mixed with another, or with other files."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder as --out")
    if (folder / MANIFEST).exists():
        if not (resume or overwrite):
            raise OutputError(
                f"{folder}: holds a corpus already; give --resume to go on with one that was stopped, --overwrite to "
                f"replace it, or another --out"
            )
    elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise OutputError(f"{folder}: holds files that are no corpus; name a new folder as --out")


def show_counts(manifest: Manifest, console: Console) -> None:
    """Tell how much of what is in a corpus, and what was left out of it."""
    totals = {what: manifest.total(what) for what in ("documents", "sentences", "tokens")}
    held_out = manifest.held_out
    console.print(
        tabulate_counts(
            "corpus",
            {
                **totals,
                "documents held out": held_out.documents if held_out else 0,
                "tokens held out": held_out.tokens if held_out else 0,
                "shards": len(manifest.shards),
            },
        )
    )
    if held_out is None and manifest.options["held_out"]:
        console.print("note: of so few documents none is held out for evaluation; a greater --held-out takes some")
    if manifest.dropped:
        console.print(tabulate_counts("left out or changed", manifest.dropped))


def show_instances(corpus: Corpus, number: int) -> None:
    """Print the first instances of the first epoch, as they are by default."""
    single = sum(one.documents for one in corpus.shards) < 2  # no other document for the second text of a pair
    stream = Stream(corpus, InstanceOptions(pairs=not single), seed=0, batch_size=number)
    for instance in show(stream.step(0), corpus.tokenizer()):
        print(instance, end="\n\n")
