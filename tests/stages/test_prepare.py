"""prepare: the whole way from files to a corpus, and what a user can get wrong on it."""

from __future__ import annotations

import bz2
import io
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bertsmith.cli.app import run
from bertsmith.corpus.cleaning import CleaningOptions
from bertsmith.corpus.shards import Corpus
from bertsmith.corpus.writing import BuildOptions
from bertsmith.stages.prepare import prepare
from bertsmith.stages.prepare_settings import PrepareSettings
from bertsmith.stages.tokenizers import open_tokenizer

from ..tiny_models import small_tokenizer

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "in", "mat", "park", "good", "bad", "film", "it", "was", "who"]


def article(seed: int) -> str:
    """One article as WikiExtractor writes it, of some random sentences."""
    chance = random.Random(seed)
    sentences = [" ".join(chance.choices(WORDS, k=chance.randint(4, 12))).capitalize() + "." for _ in range(9)]
    paragraphs = [" ".join(sentences[:4]), "History.", " ".join(sentences[4:])]
    return "\n".join(
        [f'<doc id="{seed}" url="" title="Number {seed}">', f"Number {seed}", "", *paragraphs, "</doc>", ""]
    )


class Attempt:
    """Tries `prepare` on files of a folder of its own, for ``out/corpus`` there."""

    def __init__(self, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.place, self.capfd = place, capfd
        self.out = place / "out" / "corpus"
        small_tokenizer().save(place / "vocab")
        (place / "text").mkdir()
        for name, seeds in (("wiki_00", range(20)), ("wiki_01", range(20, 40)), ("wiki_02", range(30, 50))):
            (place / "text" / name).write_text("".join(map(article, seeds)))

    def words(self, *more: str, text: str = "text") -> list[str]:
        where = ["--input", str(self.place / text), "--out", str(self.out)]
        usual = {"--tokenizer": str(self.place / "vocab"), "--workers": "0"}
        return ["prepare", *where, *(word for flag in usual if flag not in more for word in (flag, usual[flag])), *more]

    def run(self, *more: str, text: str = "text") -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = run(self.words(*more, text=text))
        return code, *self.capfd.readouterr()

    def fails(self, *more: str, text: str = "text") -> str:
        """The one line that it says at last as it fails, with nothing left where it would have written."""
        code, out, told = self.run(*more, text=text)
        assert (code, out) == (2, "")
        line = told.splitlines()[-1]
        assert line.startswith("bertsmith: error: ")
        assert not self.out.parent.exists()
        return line


@pytest.fixture
def attempt(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Attempt:
    monkeypatch.setenv("COLUMNS", "300")
    return Attempt(tmp_path, capfd)


def test_the_whole_way(attempt: Attempt) -> None:
    code, out, told = attempt.run("--held-out", "0.1", "--shard-tokens", "500", "--show", "3")
    assert code == 0
    corpus = Corpus.open(attempt.out)
    assert corpus.fingerprint == small_tokenizer().fingerprint
    assert corpus.manifest.total("documents") == 60
    assert corpus.manifest.total("sentences") > 60 * 7
    assert corpus.manifest.dropped == {"titles": 60, "section heads and fragments of lists": 60}
    for name in ("documents", "sentences", "tokens"):
        assert re.search(rf"\b{name} +{corpus.manifest.total(name):,} *\n", told)
    assert re.search(r"titles +60 *\n", told)
    assert re.search(rf"MB of text in {attempt.out} \([\d.]+ s, [\d.]+ MB/s\)", told)
    assert len(re.findall(r"\d+ tokens, \d+ masked, B (?:is random|follows A)\n  A: .+\n  B: .+\n\n", out)) == 3

    code, again, told = attempt.run("--held-out", "0.1", "--shard-tokens", "500", "--show", "3", "--resume")
    assert (code, again) == (0, out)
    assert "(whole already)" in told


def test_from_python(attempt: Attempt) -> None:
    told = io.StringIO()
    settings = PrepareSettings(
        input=(str(attempt.place / "text"),),
        tokenizer=str(attempt.place / "vocab"),
        out=str(attempt.out),
        workers=0,
        build=BuildOptions(shard_tokens=500),
        cleaning=CleaningOptions("exact", min_characters=20),
    )
    corpus = prepare(settings, console=Console(file=told, width=100))
    assert corpus.manifest.total("documents") == 50
    assert corpus.manifest.dropped["documents that repeat an earlier one"] == 10
    assert corpus.manifest.options == {
        "form": "auto", "text": None, "language": "auto", "held_out": 0.005, "held_out_tokens": 500_000,
        "shard_tokens": 500, "duplicates": "exact", "min_characters": 20,
    }  # fmt: skip
    assert attempt.capfd.readouterr() == ("", "")


def test_one_document_is_shown_without_pairs(attempt: Attempt) -> None:
    (attempt.place / "one").write_text(article(0))
    code, out, told = attempt.run("--show", "1", text="one")
    assert code == 0
    assert "note: of so few documents none is held out for evaluation; a greater --held-out takes some\n" in told
    assert re.fullmatch(r"\d+ tokens, \d+ masked\n  .+\n\n", out)


def test_another_corpus_is_replaced_when_asked_for(attempt: Attempt) -> None:
    assert attempt.run("--shard-tokens", "300")[0] == 0
    shards = len(list(attempt.out.glob("shard-*")))
    code, _, told = attempt.run()
    assert code == 2
    assert "holds a corpus already; give --resume to go on with one that was stopped, --overwrite to replace" in told
    code, _, told = attempt.run("--resume")
    assert code == 2
    assert "--resume: shard_tokens was 300 when the corpus was begun, and is 16777216 now" in told
    assert len(list(attempt.out.glob("shard-*"))) == shards > 1
    assert attempt.run("--overwrite")[0] == 0
    assert [path.name for path in attempt.out.glob("shard-*")] == ["shard-00000.arrow"]


def test_other_files_are_left_alone(attempt: Attempt) -> None:
    attempt.out.mkdir(parents=True)
    (attempt.out / "thesis.txt").touch()
    for more in ((), ("--overwrite",), ("--resume",)):
        code, _, told = attempt.run(*more)
        assert code == 2
        assert "holds files that are no corpus; name a new folder as --out" in told
    assert [path.name for path in attempt.out.iterdir()] == ["thesis.txt"]
    (attempt.out / "thesis.txt").unlink()
    attempt.out.rmdir()
    attempt.out.touch()
    code, _, told = attempt.run()
    assert code == 2
    assert "is a file; name a folder as --out" in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x7fELF\0\1\2", "bad: a binary file, not text"),
        (b"A sentence. And more.\nNot \xff UTF-8.\n", "bad, line 2: byte 0xff at offset 26 is not UTF-8"),
        (b"\n\n \n", "there is no text in the input"),
        (b"", "there is no text in the input"),
        ("\u200b \u200b\n".encode() * 3, "there is no text in the input"),
        (b'<doc id="1" url="" title="T">\nT\n\nHistory.\n</doc>\n', "titles: 1"),
        (None, "bad: no such file"),
    ],
)
def test_bad_text_is_told_in_one_line(attempt: Attempt, content: bytes | None, message: str) -> None:
    if content is not None:
        (attempt.place / "bad").write_bytes(content)
    assert message in attempt.fails(text="bad")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tokenizer", "./nowhere"], "nowhere: there is no such folder"),
        (["--tokenizer", "text"], "text: neither tokenizer.json nor vocab.txt"),
        (["--form", "wiki"], "--form"),
        (["--workers", "-1"], "--workers is -1; it must be 0 or more"),
        (["--show", "-1"], "--show is -1"),
        (["--resume", "--overwrite"], "--resume and --overwrite contradict each other"),
        (["--held-out", "1"], "--held-out is 1; it must be 0 or more and under 1"),
        (["--duplicates", "some"], "--duplicates"),
    ],
)
def test_bad_options_are_told_in_one_line(
    attempt: Attempt, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(attempt.place)
    assert message in attempt.fails(*words)


def test_a_line_of_50_megabytes_is_cut(attempt: Attempt) -> None:
    (attempt.place / "long").write_text("The cat sat. " * 4_000_000 + "\nThe dog ran.\n")
    assert attempt.run("--form", "paragraphs", text="long")[0] == 0
    manifest = Corpus.open(attempt.out).manifest
    assert manifest.total("tokens") == 4 * 4_000_001
    assert manifest.dropped["lines over 65,536 characters, cut into pieces"] == 1


def test_a_file_cut_off_in_the_middle_is_read_as_far_as_it_goes(attempt: Attempt) -> None:
    whole = bz2.compress("".join(article(seed) for seed in range(9000)).encode())
    (attempt.place / "cut.bz2").write_bytes(whole[: len(whole) * 2 // 3])
    assert attempt.run(text="cut.bz2")[0] == 0
    manifest = Corpus.open(attempt.out).manifest
    assert 4000 < manifest.total("documents") < 7000
    assert manifest.dropped["files cut off in the middle, read as far as they go"] == 1


def test_a_bare_vocabulary_tells_its_case(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    for name, lowercase in (("uncased", True), ("cased", False), ("chinese", True)):
        assert open_tokenizer(str(shared_data(f"vocab/bert-base-{name}.txt"))).lowercase is lowercase
    small_tokenizer().save(tmp_path)
    for place in (tmp_path, tmp_path / "tokenizer.json", tmp_path / "vocab.txt"):
        assert open_tokenizer(str(place)).fingerprint == small_tokenizer().fingerprint


def test_workers_are_as_many_as_cores_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PrepareSettings(("x",), "y", "z")
    for cores, workers in ((1, 1), (2, 2), (64, 8)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert settings.num_workers == workers
    assert PrepareSettings(("x",), "y", "z", workers=20).num_workers == 20


# A process that kills itself as it touches a file of the corpus for the nth time.
KILLED = """
import os, signal, sys
from bertsmith.cli.app import run
place, left = sys.argv[1], int(sys.argv[2])

def seen(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and place in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    import bertsmith.stages.prepare
    sys.addaudithook(seen)
    sys.exit(run(sys.argv[3:]))
"""


@pytest.mark.slow
def test_killed_20_times_and_resumed_it_ends_in_the_same_bytes(attempt: Attempt) -> None:
    more = ["--shard-tokens", "40", "--held-out", "0.1", "--duplicates", "near"]
    assert attempt.run(*more)[0] == 0
    whole = {path.name: path.read_bytes() for path in attempt.out.iterdir()}
    assert len(whole) > 40
    attempt.out = attempt.place / "out" / "killed"
    chance = random.Random(0)
    killed, resume = 0, ()
    while True:
        words = attempt.words("--workers", "1", *more, *resume)
        nth = chance.randint(1, 70) if killed < 20 else 0
        code = subprocess.run(
            [sys.executable, "-c", KILLED, str(attempt.out), str(nth), *words], check=False
        ).returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        resume = ("--resume",) if (attempt.out / "corpus.json").exists() else ()
    assert killed > 10
    assert {path.name: path.read_bytes() for path in attempt.out.iterdir()} == whole
