"""pretrain: what a run survives: kills, failing disks, full disks, mistakes, and another number of processes.

What a run ends in is compared with one that nothing disturbed, byte by byte.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bertsmith.cli.app import run
from bertsmith.corpus.manifest import read_manifest, write_manifest
from bertsmith.corpus.shards import Corpus
from bertsmith.engine.language_model import LanguageModel
from bertsmith.model import BertConfig

from ..tiny_models import TINY_SHAPE, small_tokenizer
from .conftest import random_text
from .processes import KILLED, WATCH, Processes, kill_often, same_outcome, story
from .test_bad_input import fill, small_disk, small_files

SHORT = {
    "max-length": 32,
    "batch-size": 8,
    "steps": 10,
    "log-every": 1,
    "eval-every": 4,
    "save-every": 1,
    "lr": 5e-3,
    "precision": "fp32",
}
Words = Callable[..., list[str]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two narrow layers and 48 positions to start from."""
    tokenizer = small_tokenizer()
    config = BertConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=48, **TINY_SHAPE)
    folder = tmp_path_factory.mktemp("tiny") / "model"
    LanguageModel.start(config, tokenizer, "pretraining", seed=5, precision="fp32").save(folder, record={})
    return folder


@pytest.fixture(scope="module")
def words(corpus: Path, tiny: Path) -> Words:
    """``words(out, "--resume", lr=1e-4)`` is the command line of a run, with options other than `SHORT`."""

    def find(out: Path, *more: str, **changed: object) -> list[str]:
        given = {name.replace("_", "-"): value for name, value in changed.items()}
        options = {"corpus": corpus, "model": tiny, "out": out, **SHORT, **given}
        pairs = [(f"--{name}", str(value)) for name, value in options.items() if value is not None]
        return ["pretrain", *(word for pair in pairs for word in pair), *more]

    return find


@pytest.fixture(scope="module")
def unbroken(processes: Processes, words: Words, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "x"
    code, _ = processes.run(words(out))
    assert code == 0, processes.told.read_text()
    return out


# Kills


def test_kills_change_no_byte(processes: Processes, words: Words, unbroken: Path, tmp_path: Path) -> None:
    assert kill_within(processes, words, unbroken, tmp_path / "x", kills=5, seed=0) >= 3


@pytest.mark.slow
def test_twenty_kills_in_each_of_some_runs_change_no_byte(
    processes: Processes, words: Words, unbroken: Path, tmp_path: Path
) -> None:
    """Runs that are killed often advance little between kills, and many times within one save."""
    outs = [tmp_path / str(seed) / "x" for seed in (1, 2, 3)]
    killed = [kill_within(processes, words, unbroken, out, kills=20, seed=i) for i, out in enumerate(outs, 1)]
    assert sum(killed) > 40


def kill_within(processes: Processes, words: Words, unbroken: Path, out: Path, *, kills: int, seed: int) -> int:
    """Kill a run at one of its next operations on files, ``kills`` times or until it ends; how many times it was."""
    drawn = random.Random(seed)
    killed = 0
    code: int | None = KILLED
    while code == KILLED:
        more = ["--resume"] if killed else []
        code, _ = processes.run(words(out, *more), out, drawn.randint(1, 60) if killed < kills else 0)
        killed += code == KILLED
    assert code == 0, processes.told.read_text()
    same_outcome(out, unbroken)
    return killed


@pytest.mark.slow
def test_the_command_can_be_killed_twenty_times_from_outside(words: Words, unbroken: Path, tmp_path: Path) -> None:
    killed = 0
    for seed in range(20):
        out = tmp_path / str(seed) / "x"

        def command(again: bool, out: Path = out) -> list[str]:
            return words(out, *["--resume"][:again])

        killed += kill_often(command, out, 20 - killed, 1.0, seed)[0]
        same_outcome(out, unbroken)
        if killed == 20:
            break
    assert killed == 20


# Disks that fail


@contextmanager
def flipped(path: Path, place: int) -> Iterator[None]:
    """A file with one bit the other way around, at a byte counted from the end where ``place`` is negative."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[place] ^= 0b100
    path.write_bytes(changed)
    yield
    path.write_bytes(content)


def fails(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one error that the command tells, in its last line."""
    assert run(arguments) == 2
    told = capfd.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert [line for line in lines if "error: " in line or "Traceback" in line] == lines[-1:]
    return lines[-1].removeprefix("bertsmith: error: ")


@pytest.fixture
def own_corpus(corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus, to be damaged."""
    return Path(shutil.copytree(corpus, tmp_path / "corpus"))


def test_a_flipped_bit_of_a_corpus_is_never_trained_on(
    words: Words, own_corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shards = sorted(own_corpus.glob("*.arrow"))
    assert len(shards) > 3
    for shard in (shards[1], shards[-1], own_corpus / "held-out.arrow"):
        for place in (shard.stat().st_size // 2, 9, -9):
            with flipped(shard, place):
                line = fails(words(tmp_path / "runs" / "x", corpus=own_corpus), capfd)
            assert line.startswith(f"{shard}: damaged (its checksum is another than when it was written); ")
    with flipped(own_corpus / "corpus.json", 200):
        assert fails(words(tmp_path / "runs" / "x", corpus=own_corpus), capfd).startswith(f"{own_corpus}/corpus.json")
    vocabulary = own_corpus / "tokenizer.json"
    with flipped(vocabulary, vocabulary.read_bytes().index(b'"mat"') + 1):  # "mat" is "iat" now
        line = fails(words(tmp_path / "runs" / "x", corpus=own_corpus), capfd)
    assert line.startswith(f"{own_corpus}: another tokenizer than the one that made the corpus")
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def stopped(processes: Processes, words: Words, tmp_path: Path) -> Path:
    """The folder of a run that was killed as it saved its state for the fifth time."""
    out = tmp_path / "runs" / "x"
    code, _ = processes.run(words(out), f"{out}/state/.new", 17)
    assert code == KILLED
    return out


def test_a_flipped_bit_of_a_state_is_never_gone_on_from(
    stopped: Path, words: Words, unbroken: Path, processes: Processes, capfd: pytest.CaptureFixture[str]
) -> None:
    state = stopped / "state"
    for _ in range(2):
        tensors = state / "state.safetensors"
        size = tensors.stat().st_size
        for place in (size // 3, size // 2, -1):
            with flipped(tensors, place):
                line = fails(words(stopped, "--resume"), capfd)
            assert line.startswith(f"{tensors}: tensor '")
            assert line.endswith("is damaged (its checksum differs); start anew with --overwrite")
        with flipped(tensors, 20):  # in the names
            assert fails(words(stopped, "--resume"), capfd).startswith(f"{tensors}: ")
        values = state / "state.json"
        with flipped(values, values.read_bytes().index(b'"step": ') + 8):
            assert fails(words(stopped, "--resume"), capfd).startswith(f"{values}: is damaged (its checksum differs)")
    code, _ = processes.run(words(stopped, "--resume"))
    assert code == 0, processes.told.read_text()
    same_outcome(stopped, unbroken)


# Disks that are full


def test_a_limit_on_the_size_of_files_leaves_the_last_state(
    stopped: Path, words: Words, unbroken: Path, processes: Processes, capfd: pytest.CaptureFixture[str]
) -> None:
    with small_files(stopped):
        line = fails(words(stopped, "--resume"), capfd)
        kept = {path.name: path.read_bytes() for path in (stopped / "state").iterdir()}
        assert fails(words(stopped, "--resume"), capfd) == line
    assert line.startswith(f"{stopped}/state: cannot be written (File too large); what it held before is unchanged")
    assert {path.name: path.read_bytes() for path in (stopped / "state").iterdir()} == kept
    assert sorted(kept) == ["state.json", "state.safetensors"]
    code, _ = processes.run(words(stopped, "--resume"))
    assert code == 0, processes.told.read_text()
    same_outcome(stopped, unbroken)


def test_a_model_that_cannot_be_written_is_written_later(
    words: Words, unbroken: Path, processes: Processes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x"
    code, _ = processes.run(words(out), f"{out}/.tmp-", 2)
    assert code == KILLED
    with small_files(out):
        line = fails(words(out, "--resume"), capfd)
    assert line.startswith(f"{out}: cannot be written (File too large); what it held before is unchanged")
    assert not (out / "config.json").exists()
    code, _ = processes.run(words(out, "--resume"))
    assert code == 0, processes.told.read_text()
    same_outcome(out, unbroken)


def test_a_full_disk_leaves_the_last_state(
    words: Words, unbroken: Path, processes: Processes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs"
    place.mkdir()
    with small_disk(place):
        out = place / "x"
        code, _ = processes.run(words(out), f"{out}/state/.new", 17)
        assert code == KILLED
        for left in (120_000, 40_000, 0):
            fill(place, left)
            line = fails(words(out, "--resume"), capfd)
            assert "cannot be written (No space left on device)" in line
            assert line.startswith(str(out))
            (place / "ballast").unlink()
        code, _ = processes.run(words(out, "--resume"))
        assert code == 0, processes.told.read_text()
        same_outcome(out, unbroken)


# What a user can get wrong


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Path]:
    """``prepared(text)`` is the corpus of a text."""

    def find(text: str, *more: str) -> Path:
        (tmp_path / "text.txt").write_text(text)
        small_tokenizer().save(tmp_path / "vocab")
        made = ["--input", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "vocab"), "--workers", "0"]
        assert run(["prepare", *made, "--form", "sentences", "--out", str(tmp_path / "made"), *more]) == 0
        return tmp_path / "made"

    return find


def test_one_document_has_no_next_sentences_but_can_be_learnt_from(
    words: Words, prepared: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    corpus, out = prepared(random_text(1)), tmp_path / "runs" / "x"
    capfd.readouterr()
    line = fails(words(out, corpus=corpus), capfd)
    assert line.startswith(f"{corpus}: one document only, and next sentence prediction needs sentences of another; ")
    assert line.endswith("or train with --no-pairs")
    assert not out.parent.exists()
    assert run(words(out, "--no-pairs", corpus=corpus)) == 0
    assert [line["step"] for line in story(out) if "eval" not in line] == list(range(1, 11))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_length": 49}, "--max-length is 49, and {tiny} has positions for 48 tokens; give 48 or less"),
        ({"mask_rate": 1}, "--mask-rate is 1; it must be more than 0, or there is nothing to learn, and less than 1"),
        ({"batch_size": 0}, "--batch-size is 0; it must be 1 or more"),
        ({"dropout": 1}, "--dropout is 1; it must be 0 or more and under 1"),
        ({"device": "gpu"}, "--device"),
        ({"model": "{corpus}"}, "{corpus}: is no checkpoint, it has no config.json"),
        ({"out": "{corpus}/corpus.json"}, "{corpus}/corpus.json: is a file; name a folder as --out"),
    ],
)
def test_options_that_cannot_be(
    changed: dict[str, object],
    message: str,
    words: Words,
    corpus: Path,
    tiny: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    known = {"corpus": corpus, "tiny": tiny}
    given = {name: value.format(**known) if isinstance(value, str) else value for name, value in changed.items()}
    given = {"out": tmp_path / "runs" / "x", **given}
    arguments = words(Path(str(given.pop("out"))), **given)
    assert message.format(**known) in fails(arguments, capfd)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_that_is_not_whole(
    words: Words, own_corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "x"
    gone = sorted(own_corpus.glob("shard-*"))[-1]
    content = gone.read_bytes()
    gone.unlink()
    assert fails(words(out, corpus=own_corpus), capfd).startswith(f"{gone}: missing, and corpus.json names it; ")
    gone.write_bytes(content[:-1])
    assert fails(words(out, corpus=own_corpus), capfd).startswith(f"{gone}: {len(content) - 1:,} bytes, and ")
    write_manifest(own_corpus, replace(read_manifest(own_corpus), next={}))
    assert fails(words(out, corpus=own_corpus), capfd) == (
        f"{own_corpus}: this corpus is unfinished ({len(Corpus(own_corpus, read_manifest(own_corpus)).shards)} shards "
        f"so far); go on with bertsmith prepare --resume"
    )
    assert not out.parent.exists()


def test_a_corpus_as_out_is_not_harmed(
    words: Words, own_corpus: Path, corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for more in ((), ("--overwrite",), ("--resume",)):
        told = fails(words(own_corpus, *more, corpus=own_corpus), capfd)
        assert told == f"{own_corpus}: holds a corpus, which a model must not be mixed with; name another --out"
        opened = Corpus.open(own_corpus)
        for name in ("corpus.json", *(shard.name for shard in opened.manifest.parts)):
            assert (own_corpus / name).read_bytes() == (corpus / name).read_bytes()
        assert opened.tokenizer().fingerprint == opened.fingerprint
    for path in own_corpus.iterdir():
        assert not path.name.startswith("."), path


# Another number of processes

KILLED_BY_ITSELF = f"""{WATCH}
import bertsmith.stages.pretrain
from bertsmith.cli.app import run

if os.environ["RANK"] == "0":
    watch({{"place": sys.argv[1], "nth": int(sys.argv[2]), "signal": "SIGKILL"}})
sys.exit(run(sys.argv[3:]))
"""


def test_two_processes_may_be_followed_by_one(words: Words, tmp_path: Path) -> None:
    """Without dropout, whose masks go by process, the curve is that of one process, to rounding."""
    alone, out = tmp_path / "alone" / "x", tmp_path / "x"
    assert run(words(alone, dropout=0)) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    script = [sys.executable, "-c", KILLED_BY_ITSELF, f"{out}/state/.new", "17"]
    done = subprocess.run(
        [*launcher, *script, *words(out, dropout=0)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert signal.Signals.SIGKILL.name in done.stderr
    together = story(out)
    assert 2 < len([line for line in together if "eval" not in line]) < 8
    assert run(words(out, "--resume", dropout=0)) == 0
    expected, found = story(alone), story(out)
    assert found[: len(together) - 2] == together[: len(together) - 2]  # it went on, and did not start again
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for line, other in zip(expected, found, strict=True):
        told = [one.get("eval", one) for one in (line, other)]
        for name in {"loss", "mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy", "gradient_norm"} & set(told[0]):
            assert told[1][name] == pytest.approx(told[0][name], rel=1e-4), (line["step"], name)
