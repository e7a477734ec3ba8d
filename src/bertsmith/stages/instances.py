"""instances: a corpus -> TFRecord files of instances, for google-research/bert's run_pretraining.py.

The recipe: open the corpus, go through it as often as asked for, write the files under names that mean nothing, and
give them their own names when all are whole.

    instances-00000.tfrecord ...  the instances
    instances.json                how many they are, and how they were made; not there unless all of them are
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from bertsmith.checkpoint import hold_folder, writing_folder
from bertsmith.corpus.instances import MaskedBatch, Stream
from bertsmith.corpus.shards import Corpus
from bertsmith.corpus.tfrecord import write_tfrecords
from bertsmith.errors import DataError, OutputError, count
from bertsmith.files import write_json
from bertsmith.report.bar import Bar
from bertsmith.report.words import format_duration, format_number
from bertsmith.settings import to_flat
from bertsmith.stages.instances_settings import InstancesSettings

RECORD = "instances.json"
BATCH = 512  # instances that are built and encoded at a time
_OURS = re.compile(r"instances-\d{5,}\.tfrecord|instances\.json")


def instances(settings: InstancesSettings, *, console: Console | None = None) -> list[Path]:
    """Write instances of ``settings.corpus`` into ``settings.out``.

    console: where progress is told; standard error if none is given

    Returns the files of instances, in order.
    """
    console = console or Console(stderr=True)
    folder = Path(settings.out)
    check_folder(folder, overwrite=settings.overwrite)
    corpus = Corpus.open(settings.corpus)
    stream = Stream(corpus, settings.instances, seed=settings.seed, batch_size=BATCH)
    options = settings.instances
    with hold_folder(folder), Bar("writing", ("elapsed", "left"), console=console) as bar:
        check_folder(folder, overwrite=settings.overwrite)
        told = Told(bar, settings.passes)
        with writing_folder(folder) as staging:
            written = write_tfrecords(
                staging,
                told.watch(stream),
                max_length=options.max_length,
                max_predictions=options.max_predictions,
            )
            if not written:
                raise DataError(f"{corpus.folder}: its documents are too short for any instance; prepare more text")
            write_json(staging / RECORD, record(settings, corpus, told.number, len(written)))
            remove_earlier(folder, keep={path.name for path in written})
    for remark in remarks(settings):
        console.print(f"note: {remark}", highlight=False, markup=False, soft_wrap=True)
    flags = f"--max_seq_length={options.max_length} --max_predictions_per_seq={options.max_predictions}"
    console.print(
        f"{count(told.number, 'instance')} in {count(len(written), 'file')} ({format_duration(bar.elapsed)}); for "
        f"run_pretraining.py: --input_file={folder}/instances-*.tfrecord {flags}, and a vocab_size of "
        f"{corpus.vocab_size} in its bert_config_file",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return [folder / path.name for path in written]


class Told:
    """Counts the instances that pass by, and tells how far it is.

    number: of instances so far
    """

    def __init__(self, bar: Bar, passes: int) -> None:
        self.number = 0
        self._bar = bar
        self._passes = passes

    def watch(self, stream: Stream) -> Iterator[MaskedBatch]:
        """All instances of all passes."""
        for number in range(self._passes):
            for share, batch in stream.epoch(number):
                yield batch
                self.number += len(batch)
                self._tell(number, (number + share) / self._passes)

    def _tell(self, number: int, done: float) -> None:
        elapsed = self._bar.elapsed
        facts = {
            "pass": f"pass {number + 1:,}/{self._passes:,}",
            "instances": f"{format_number(self.number)} instances",
            "elapsed": format_duration(elapsed),
        }
        if done < 1:
            facts["left"] = f"{format_duration(elapsed * (1 - done) / done)} left"
        self._bar.show(done, facts)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` where instances would be mixed with earlier ones, or with other files."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder as --out")
    names = [path.name for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []
    if not all(map(_OURS.fullmatch, names)):
        raise OutputError(f"{folder}: holds files that are no instances; name a new folder as --out")
    if names and not overwrite:
        raise OutputError(f"{folder}: holds instances already; give --overwrite to replace them, or another --out")


def record(settings: InstancesSettings, corpus: Corpus, number: int, files: int) -> dict[str, object]:
    """What is told of the instances beside them."""
    made = {name: value for name, value in to_flat(settings).items() if name not in ("out", "overwrite")}
    return {
        "instances": number,
        "files": files,
        "vocab_size": corpus.vocab_size,
        **made,
        "shards": [shard.checksum for shard in corpus.shards],
    }


def remove_earlier(folder: Path, keep: set[str]) -> None:
    """Remove the record of earlier instances, and their files but those that new ones are about to replace.

    From here until the new files have moved into place, their record last, there is none.
    """
    (folder / RECORD).unlink(missing_ok=True)
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in keep:
            path.unlink()


def remarks(settings: InstancesSettings) -> list[str]:
    """What a person should know of the instances, a line each."""
    options, found = settings.instances, []
    asked = round(options.max_length * options.mask_rate)
    if asked > options.max_predictions:
        found.append(
            f"--max-predictions {options.max_predictions} leaves long instances with fewer masked tokens than "
            f"--mask-rate {options.mask_rate:g} asks for, which is up to {asked}"
        )
    if not options.pairs:
        found.append("run_pretraining.py learns next sentences in any case; without pairs all its answers are alike")
    return found
