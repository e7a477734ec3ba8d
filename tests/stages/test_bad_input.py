"""What a user can get wrong with finetune: one line that says where, exit code 2, and nothing left behind.

And what looks wrong and is not: byte-order marks, Windows' line ends, literal quotes, texts of which nothing is left.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import bertsmith
from bertsmith.cli.app import run
from bertsmith.settings import from_flat
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.prepared import Prepared, prepare

Folder = Callable[[str], Path]
GOOD = "text\tlabel\n" + "a good day\tup\na sad day\tdown\n" * 6
SQUAD = {"question": "where?", "context": "the cat sat in the park", "answers": {"text": ["mat"], "answer_start": [8]}}


class Attempt:
    """Tries `finetune` on files of a folder of its own, for ``runs/x`` there."""

    def __init__(self, place: Path, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.place, self.model, self.capfd = place, model, capfd
        self.out = place / "runs" / "x"

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.place / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, *words: str, train: str = "train.tsv", model: str | None = None) -> tuple[int, list[str]]:
        """The exit code, and the lines on standard error."""
        start = ["finetune", "--train", str(self.place / train), "--out", str(self.out), "--model"]
        code = run([*start, model or str(self.model), "--steps", "2", *words])
        captured = self.capfd.readouterr()
        assert captured.out == ""
        return code, captured.err.splitlines()

    def fails(self, *words: str, train: str = "train.tsv", model: str | None = None) -> str:
        """The one line that it says as it fails, with nothing left where it would have written."""
        code, lines = self.run(*words, train=train, model=model)
        assert code == 2
        assert len(lines) == 1
        assert lines[0].startswith("bertsmith: error: ")
        assert not self.out.parent.exists()
        return lines[0]


@pytest.fixture
def attempt(tmp_path: Path, model_folder: Folder, capfd: pytest.CaptureFixture[str]) -> Attempt:
    made = Attempt(tmp_path, model_folder("classify"), capfd)
    made.write("train.tsv", GOOD)
    return made


# Files


@pytest.mark.parametrize(
    ("name", "content", "words", "message"),
    [
        ("t.tsv", "words\tlabel\na\tb\n", "", "t.tsv: no text column: looked for sentence, text, "),
        ("t.tsv", "text\tmark\na\tb\n", "", "; name it with --label"),
        ("t.tsv", "text\tlabel\na\tb\n", "--label lable", "t.tsv: --label names 'lable', .* did you mean 'label'?"),
        ("t.tsv", "", "", "t.tsv: the file is empty; give one with at least one row"),
        ("t.tsv", "text\tlabel\n", "", "t.tsv: "),
        ("t.tsv", "text\tlabel\na\tb\nc\td\te\n", "", "t.tsv, line 3: 3 fields"),
        ("t.csv", 'text,label\n"a,b\n', "", "t.csv, line 2: not valid CSV"),
        ("t.tsv", "text\tlabel\n" + "a\tup\n" * 20, "", "t.tsv, line 2: the only label is 'up' in all 18 rows"),
        ("t.tsv", b"text\tlabel\na\tup\nb\xff\tdown\n", "", "t.tsv, line 3: byte 0xff at offset 17 is not UTF-8"),
        ("t.tsv", "a\tup\nb\tdown\n", "--columns text,label,more", "t.tsv, line 1: 2 fields"),
        ("t.tsv", "text\tscore\na\t1\nb\tnan\nc\t2\n", "--task regress", "t.tsv, line 3: the score is 'nan'; "),
        ("t.tsv", "text\tscore\na\t1\nb\tmuch\nc\t2\n", "--task regress", "t.tsv, line 3: the score is 'much', "),
        ("t.conll", "a O\nb\n\n", "--task tag", "t.conll, line 2: "),
        ("t.jsonl", json.dumps(SQUAD), "--task answer", "t.jsonl, (line|row) 1: the answer 'mat' is not in"),
        ("t.jsonl", '{"text": "a"\n', "", "t.jsonl, line 1"),
        ("t.jsonl", '{"prompt": "a", "endings": ["b", "c"], "label": 2}', "--task choose",
         "t.jsonl, (line|row) 1: the label is 2, but there are 2 endings"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_learnt_from(
    name: str, content: str | bytes, words: str, message: str, attempt: Attempt
) -> None:
    attempt.write(name, content)
    all_rows = [] if "18 rows" in message else ["--validation", "0"]
    line = attempt.fails(*words.split(), *all_rows, train=name)
    assert re.search(message, line), line
    assert f"{attempt.place}/{name}" in line


def test_a_label_to_evaluate_on_that_was_not_learnt(attempt: Attempt) -> None:
    dev = attempt.write("dev.tsv", "text\tlabel\na\tup\nb\tsideways\n")
    line = attempt.fails("--eval", str(dev))
    assert line.startswith(f"bertsmith: error: {dev}, line 3: ")
    assert "'sideways'" in line


def test_too_few_rows_to_hold_some_out(attempt: Attempt) -> None:
    attempt.write("t.tsv", "text\tlabel\na\tup\nb\tdown\n")
    assert "2 rows are too few to hold out 0.1 of them" in attempt.fails(train="t.tsv")


# Options


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--batch-size 0", "--batch-size is 0; it must be 1 or more"),
        ("--lr nan", "--lr is nan; it must be more than 0"),
        ("--lr -1", "--lr is -1.0; it must be more than 0"),
        ("--task classfy", "no task 'classfy'; did you mean 'classify'?"),
        ("--max-length 600", "--max-length is 600, and {model} has positions for 64 tokens; give 64 or less"),
        ("--max-length 2", "--max-length is 2; it must be 3 or more"),
        ("--validation 1", "--validation is 1; it must be 0 or more and under 1"),
        ("--metric acuracy", "--metric 'acuracy' is no score of the task 'classify'; did you mean 'accuracy'?"),
        ("--class-weights up", "--class-weights 'up': write label=weight, or balanced"),
        ("--class-weights left=2", "'left'"),
        ("--resume --overwrite", "--resume and --overwrite contradict each other; give one of them"),
        ("--stride 4", "--stride is no option of the task 'classify'"),
        ("--columns text", "train.tsv, line 1: 2 fields"),
        ("--text title", "train.tsv: --text names 'title', and the columns are 'text', 'label'"),
    ],
)
def test_an_option_that_cannot_be(words: str, message: str, attempt: Attempt) -> None:
    assert message.format(model=attempt.model) in attempt.fails(*words.split())


def test_a_file_that_is_not_there(attempt: Attempt) -> None:
    assert f"{attempt.place}/nowhere.tsv: " in attempt.fails(train="nowhere.tsv")
    assert f"{attempt.place}/nowhere.tsv: " in attempt.fails("--eval", f"{attempt.place}/nowhere.tsv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--freeze", "0-9"], "--freeze 0-9: the model has layers 0-1"),
        (["--freeze", "embedings"], "--freeze 'embedings' is not understood"),
        (["--lr", "1e38", "--warmup", "0"], "the loss is nan at step 2: training stopped before the update; try a"),
        (
            ["--lr", "1e38", "--warmup", "0", "--batch-size", "64", "--epochs", "1"],
            "are not finite after the last step: the model is not kept; try a smaller --lr (it is 1e+38)",
        ),
    ],
)
def test_an_error_as_training_has_begun_leaves_nothing(words: list[str], message: str, attempt: Attempt) -> None:
    """The data has been told by then; the error is the last line, and its only one."""
    code, lines = attempt.run(*words)
    assert code == 2
    assert lines[-1].startswith("bertsmith: error: ")
    assert message in lines[-1]
    assert sum("error: " in line for line in lines) == 1
    assert not attempt.out.parent.exists()


def test_an_error_leaves_a_folder_that_was_there_as_it_was(attempt: Attempt) -> None:
    attempt.out.mkdir(parents=True)
    (attempt.out / "notes.txt").write_text("mine")
    code, _ = attempt.run("--freeze", "0-9")
    assert code == 2
    assert [path.name for path in attempt.out.iterdir()] == ["notes.txt"]
    code, _ = attempt.run()
    assert code == 0
    assert (attempt.out / "notes.txt").read_text() == "mine"


# Models


def test_a_model_that_is_no_folder(attempt: Attempt) -> None:
    assert f"{attempt.place}/nowhere: there is no such folder" in attempt.fails(model=f"{attempt.place}/nowhere")
    assert f"{attempt.place}/train.tsv: is a file" in attempt.fails(model=f"{attempt.place}/train.tsv")
    empty = attempt.place / "empty"
    empty.mkdir()
    assert f"{empty}: is no checkpoint, it has no config.json" in attempt.fails(model=str(empty))


@pytest.fixture
def broken(attempt: Attempt) -> Path:
    """A copy of a model, to be damaged."""
    return Path(shutil.copytree(attempt.model, attempt.place / "broken"))


def test_weights_that_are_cut_short(attempt: Attempt, broken: Path) -> None:
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert attempt.fails(model=str(broken)).startswith(f"bertsmith: error: {path}: is damaged or cut short (")


def test_a_bit_that_fell_over(attempt: Attempt, broken: Path) -> None:
    path = broken / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    line = attempt.fails(model=str(broken))
    assert line.startswith(f"bertsmith: error: {path}: tensor '")
    assert "is damaged (its checksum differs)" in line


def test_a_vocabulary_of_another_model(attempt: Attempt, broken: Path) -> None:
    config = broken / "config.json"
    before = config.read_text()
    rows = json.loads(before)["vocab_size"]
    config.write_text(json.dumps({**json.loads(before), "vocab_size": rows + 1}))
    line = attempt.fails(model=str(broken))
    assert f"{broken}: vocab_size is {rows + 1} in config.json, the word embedding has {rows} rows" in line

    config.write_text(before)
    tokenizer = json.loads((broken / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zebra"] = rows
    (broken / "tokenizer.json").write_text(json.dumps(tokenizer))
    (broken / "vocab.txt").write_text((broken / "vocab.txt").read_text() + "zebra\n")
    line = attempt.fails(model=str(broken))
    assert f"{broken}: the tokenizer has {rows + 1:,} tokens, the word embedding {rows:,} rows" in line


# A place that cannot hold the model


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system that is full but for what a log and a report need."""
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small file system cannot be mounted here; the limit on the size of files is tested instead")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@contextmanager
def small_files(place: Path) -> Iterator[None]:
    """No file of more than 100 kB: the weights have more, all the others less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(place: Path, left: int) -> None:
    """Leave so many bytes of a disk."""
    free = shutil.disk_usage(place).free
    (place / "ballast").write_bytes(b"x" * (free - left))


def checkpoint_bytes(folder: Path) -> dict[str, bytes]:
    names = ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "bertsmith.json", "README.md")
    return {name: (folder / name).read_bytes() for name in names}


def test_a_full_disk_leaves_the_earlier_checkpoint(attempt: Attempt) -> None:
    attempt.out = attempt.place / "disk" / "x"
    attempt.out.parent.mkdir()
    with small_disk(attempt.out.parent):
        assert attempt.run()[0] == 0
        before = checkpoint_bytes(attempt.out)
        fill(attempt.out.parent, 90_000)
        code, lines = attempt.run("--overwrite", "--seed", "7")
        assert code == 2
        assert lines[-1].startswith(f"bertsmith: error: {attempt.out}: cannot be written (No space left on device)")
        assert checkpoint_bytes(attempt.out) == before
        bertsmith.load(attempt.out)
        assert not [path.name for path in attempt.out.iterdir() if path.name.startswith(".")]

        shutil.rmtree(attempt.out)
        (attempt.out.parent / "ballast").unlink()
        fill(attempt.out.parent, 90_000)
        assert attempt.run()[0] == 2
        assert not attempt.out.exists()


def test_a_limit_on_the_size_of_files_leaves_the_earlier_checkpoint(attempt: Attempt) -> None:
    assert attempt.run()[0] == 0
    before = checkpoint_bytes(attempt.out)
    with small_files(attempt.out):
        code, lines = attempt.run("--overwrite", "--seed", "7")
    assert code == 2
    assert lines[-1].startswith(f"bertsmith: error: {attempt.out}: cannot be written (File too large)")
    assert checkpoint_bytes(attempt.out) == before
    assert not [path.name for path in attempt.out.iterdir() if path.name.startswith(".")]
    code, _ = attempt.run("--overwrite", "--seed", "7")
    assert code == 0
    assert checkpoint_bytes(attempt.out) != before


def test_a_place_that_is_no_folder(attempt: Attempt) -> None:
    attempt.out = attempt.write("file", "")
    code, lines = attempt.run()
    assert (code, lines) == (2, [f"bertsmith: error: {attempt.out}: is a file; name a folder as --out"])
    attempt.out = attempt.out / "x"
    code, lines = attempt.run()
    assert code == 2
    assert lines == [
        f"bertsmith: error: {attempt.out}: cannot be written (Not a directory); what it held before is unchanged; name "
        "another place"
    ]


# What is not wrong


def prepared(train: Path, model: Path, **options: Any) -> Prepared:
    values = {"train": str(train), "out": "x", "model": str(model), "validation": 0, **options}
    return prepare(from_flat(FinetuneSettings, values))


def test_marks_and_line_ends_of_other_systems_change_nothing(attempt: Attempt) -> None:
    plain = prepared(attempt.write("plain.tsv", GOOD), attempt.model).encoded.train
    windows = attempt.write("windows.tsv", b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    for source in (windows, attempt.write("windows.csv", windows.read_bytes().replace(b"\t", b","))):
        other = prepared(source, attempt.model).encoded.train
        assert other.sequences.ids.tolist() == plain.sequences.ids.tolist()
        assert other.row_targets["label"].tolist() == plain.row_targets["label"].tolist()


def test_quotes_are_letters_of_a_tab_separated_text(attempt: Attempt) -> None:
    texts = ['"a good day', 'a "sad" day', "it's", '""']
    rows = "".join(f"{text}\t{label}\n" for text, label in zip(texts, "abab", strict=True))
    found = prepared(attempt.write("t.tsv", f"text\tlabel\n{rows}"), attempt.model)
    assert found.splits.train.texts == texts
    tokenizer = found.model.tokenizer
    assert found.encoded.train.sequences.ids[:3].tolist() == tokenizer.encode(['"a'], max_length=8).ids[:3].tolist()


def test_texts_of_which_nothing_is_left_are_counted(attempt: Attempt) -> None:
    """Blank texts, and texts of characters that cleaning removes."""
    empty = "\tup\n   \tdown\n\u200b\x07\tup\n\ufffd\tdown\n"
    attempt.write("train.tsv", GOOD + empty)
    attempt.write("dev.tsv", "text\tlabel\na good day\tup\n \tdown\n")
    code, lines = attempt.run("--eval", str(attempt.place / "dev.tsv"))
    assert code == 0
    assert "note: train: 4 texts without tokens" in lines
    assert "note: eval: 1 text without tokens" in lines
    assert any(line.startswith("warning: 2 of 16 (12.5 %) train examples have an empty text") for line in lines)
    (answer,) = bertsmith.load(attempt.out).predict([""])
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
