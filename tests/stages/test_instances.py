"""instances: the instances of a corpus as TFRecord files, all of them or none.

That the files are what TensorFlow reads is tested where they are written, in tests/corpus/test_tfrecord.py.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bertsmith.cli.app import run
from bertsmith.corpus import tfrecord
from bertsmith.corpus.instances import InstanceOptions, MaskedBatch, Stream
from bertsmith.corpus.manifest import read_manifest, write_manifest
from bertsmith.corpus.shards import Corpus
from bertsmith.corpus.tfrecord import write_tfrecords

from .processes import KILLED, Processes
from .test_bad_input import small_files

SHORT = ["--max-length", "32", "--max-predictions", "6", "--passes", "2"]


def words(corpus: Path, out: Path, *more: str) -> list[str]:
    return ["instances", "--corpus", str(corpus), "--out", str(out), *SHORT, *more]


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of the files of instances, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("instances-*"))}


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``fails(words)`` is the one line that the command says as it fails."""
    monkeypatch.setenv("COLUMNS", "300")

    def find(words: list[str]) -> str:
        assert run(words) == 2
        lines = capfd.readouterr().err.splitlines()
        assert [line for line in lines if line.startswith("bertsmith: error: ")] == lines[-1:]
        return lines[-1]

    return find


def test_the_files_hold_the_passes_of_the_stream(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    out = tmp_path / "deep" / "tf"
    assert run(words(corpus, out, "--seed", "7")) == 0
    told = capfd.readouterr()
    assert told.out == ""
    stream = Stream(Corpus.open(corpus), InstanceOptions(32, max_predictions=6), seed=7, batch_size=1)
    number = sum(map(stream.steps_per_epoch, range(2)))
    assert number > 150
    expected = [MaskedBatch.concatenate([stream.step(step) for step in range(number)])]
    write_tfrecords(tmp_path / "steps", expected, max_length=32, max_predictions=6)
    assert content(out) == content(tmp_path / "steps")
    record = json.loads((out / "instances.json").read_text())
    assert record["instances"] == number
    assert (record["files"], record["passes"], record["seed"], record["mask_rate"]) == (1, 2, 7, 0.15)
    size = Corpus.open(corpus).vocab_size
    assert re.fullmatch(
        rf"pass 2/2  {number} instances  [\d.]+ s\n"
        rf"{number} instances in 1 file \([\d.]+ s\); for run_pretraining\.py: "
        rf"--input_file={out}/instances-\*\.tfrecord --max_seq_length=32 --max_predictions_per_seq=6, "
        rf"and a vocab_size of {size} in its bert_config_file\n",
        told.err,
    )


def test_defaults_are_those_of_the_published_script(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["instances", "--corpus", str(corpus), "--out", str(tmp_path / "tf")]) == 0
    record = json.loads((tmp_path / "tf" / "instances.json").read_text())
    # The flags of create_pretraining_data.py at google-research/bert.
    published = {"max_length": 128, "max_predictions": 20, "mask_rate": 0.15, "short_probability": 0.1, "passes": 10,
                 "seed": 12345, "masking": "token", "pairs": True}  # fmt: skip
    assert {name: record[name] for name in published} == published
    assert "note: " not in capfd.readouterr().err


def test_what_does_not_fit_the_other_program_is_told(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run(words(corpus, tmp_path / "tf", "--no-pairs", "--mask-rate", "0.3")) == 0
    notes = [line for line in capfd.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert (
        "--max-predictions 6 leaves long instances with fewer masked tokens than --mask-rate 0.3 asks for" in notes[0]
    )
    assert "which is up to 10" in notes[0]
    assert "without pairs all its answers are alike" in notes[1]


def test_earlier_instances_are_replaced_when_asked_for(
    corpus: Path, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tf"
    monkeypatch.setattr(tfrecord, "PER_FILE", 50)
    assert run(words(corpus, out)) == 0
    before = content(out)
    assert len(before) > 3
    assert "holds instances already; give --overwrite to replace them, or another --out" in fails(words(corpus, out))
    assert content(out) == before
    monkeypatch.setattr(tfrecord, "PER_FILE", 100)
    assert run(words(corpus, out, "--overwrite")) == 0
    assert b"".join(content(out).values()) == b"".join(before.values())
    assert len(content(out)) == -(-len(before) // 2)
    assert sorted(path.name for path in out.iterdir()) == [*content(out), "instances.json"]


def test_other_files_are_left_alone(corpus: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    (tmp_path / "thesis.txt").touch()
    for more in ([], ["--overwrite"]):
        assert "holds files that are no instances; name a new folder" in fails(words(corpus, tmp_path, *more))
        assert "holds files that are no instances" in fails(words(corpus, corpus, *more))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert "is a file; name a folder as --out" in fails(words(corpus, tmp_path / "thesis.txt"))
    Corpus.open(corpus)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max-predictions", "0"], "--max-predictions is 0; it must be from 1 to 29"),
        (["--max-predictions", "30"], "--max-predictions is 30; it must be from 1 to 29, the tokens of text in an"),
        (["--max-predictions", "none"], "--max-predictions"),
        (["--max-length", "4"], "--max-length is 4; it must be 5 or more, 3 of them special"),
        (["--passes", "0"], "--passes is 0; it must be 1 or more"),
        (["--mask-rate", "1"], "--mask-rate is 1"),
        (["--masking", "words"], "--masking"),
        (["--resume"], "--resume"),
    ],
)
def test_bad_options_are_told_in_one_line(
    more: list[str], message: str, corpus: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    kept = [word for flag in zip(SHORT[::2], SHORT[1::2], strict=True) if flag[0] not in more for word in flag]
    line = fails(["instances", "--corpus", str(corpus), "--out", str(tmp_path / "tf"), *kept, *more])
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_that_is_none_or_unfinished_or_damaged(
    corpus: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    out = tmp_path / "out" / "tf"
    assert "holds no corpus; make one with bertsmith prepare" in fails(words(tmp_path, out))
    assert "there is no such folder" in fails(words(tmp_path / "nowhere", out))
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    last = sorted(copy.glob("shard-*"))[-1]
    damaged = bytearray(last.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    last.write_bytes(damaged)
    assert f"{last}: damaged (its checksum is another than when it was written)" in fails(words(copy, out))
    write_manifest(copy, replace(read_manifest(copy), next={}))
    assert "this corpus is unfinished" in fails(words(copy, out))
    assert not out.parent.exists()


def test_a_full_disk_leaves_the_earlier_instances(corpus: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "tf"
    assert run(words(corpus, out)) == 0
    before = content(out)
    with small_files(out):
        line = fails(words(corpus, out, "--overwrite", "--seed", "3"))
        assert line.startswith(f"bertsmith: error: {out}: cannot be written (File too large)")
        assert fails(words(corpus, tmp_path / "new" / "tf")).startswith(f"bertsmith: error: {tmp_path}/new/tf: cannot")
    assert content(out) == before
    assert sorted(path.name for path in out.iterdir()) == [*before, "instances.json"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_leaves_nothing_that_looks_whole(
    stride: int, processes: Processes, corpus: Path, tmp_path: Path
) -> None:
    """A record is there with all of the new files or all of the earlier ones; and the next run ends as any other.

    stride: every so many-th of the operations on files is one to be killed at
    """
    expected: dict[str, dict[str, bytes]] = {}
    for seed in ("1", "2"):
        assert processes.run(words(corpus, tmp_path / seed, "--seed", seed))[0] == 0
        expected[seed] = {path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()}
    code, killed = KILLED, 0
    while code == KILLED:
        earlier = killed % 2 == 1
        out = tmp_path / "killed" / str(killed)
        if earlier:
            shutil.copytree(tmp_path / "1", out)
        command = words(corpus, out, "--seed", "2", "--overwrite")
        code, _ = processes.run(command, out, 1 + stride * killed)
        killed += code == KILLED
        if (out / "instances.json").exists():
            assert {path.name: path.read_bytes() for path in out.glob("instances*")} in expected.values()
        elif not earlier and list(out.glob("instances*")):
            assert (out / ".new").is_dir()  # whoever opens the folder next moves the rest
        if code == KILLED:
            assert processes.run(command)[0] == 0
        assert {path.name: path.read_bytes() for path in out.iterdir()} == expected["2"]
    assert code == 0
    assert killed * stride > 12
