"""vocab: from files of text to a folder that opens here and in transformers, and the comparison that it prints."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from rich.console import Console

from bertsmith.cli.app import run
from bertsmith.corpus.documents import Document
from bertsmith.errors import BertsmithError, DataError, OutputError, TokenizerError
from bertsmith.report.bar import Bar
from bertsmith.stages.learning_texts import LearningTexts
from bertsmith.stages.vocab import vocab
from bertsmith.stages.vocab_settings import VocabSettings
from bertsmith.text import Tokenizer
from bertsmith.text.bulk import TokenizersEncoder

NAMES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON lines of 600 documents of made-up words, some of them rare."""
    rng = random.Random(3)
    words = ["".join(rng.choice("abcdefghij") for _ in range(rng.randint(2, 9))) for _ in range(400)]
    weights = [1 / (1 + place) for place in range(len(words))]
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    lines = [{"text": "The " + " ".join(rng.choices(words, weights, k=30)) + "."} for _ in range(600)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def learn(text: Path | str, out: Path, **options: object) -> Tokenizer:
    vocab(VocabSettings(input=(str(text),), out=str(out), **{"size": 400, **options}), console=Console(quiet=True))  # type: ignore[arg-type]
    return Tokenizer.from_folder(out)


def test_the_command_leaves_a_tokenizer_and_prints_a_comparison(
    text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    Path("other.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n.\n")
    assert run(["vocab", "--input", str(text), "--out", "v", "--size", "400", "--compare", "other.txt"]) == 0
    printed = capfd.readouterr()
    ours, theirs = Tokenizer.from_folder("v"), AutoTokenizer.from_pretrained("./v")
    line = json.loads(text.read_text().partition("\n")[0])["text"]
    assert ours.vocab_size == len(theirs) == 400
    assert [ours.pad_id, ours.unk_id, ours.cls_id, ours.sep_id, ours.mask_id] == [0, 100, 101, 102, 103]
    assert ours.lowercase
    assert theirs(line)["input_ids"] == ours.encode([line]).ids.tolist()
    assert sorted(path.name for path in Path("v").iterdir()) == sorted(NAMES)
    assert "400 tokens are in v, learnt from 0.1 MB of text" in printed.err

    held_out = held_out_of(text)
    rows = {line.split("  ")[0].strip(): line.split() for line in printed.out.splitlines()}
    assert f"{sum(map(len, held_out)):,} characters held out" in printed.out
    assert rows["WordPiece: longest pieces"][-3] == f"{len(ours.encode_pieces(held_out)[0]):,}"
    assert rows["other.txt"][-4:-2] == ["7", f"{sum(len(one.split()) + 1 for one in held_out):,}"]


def held_out_of(text: Path) -> list[str]:
    """The documents that should be held out, each once, none of them the first."""
    lines = [json.loads(line)["text"] for line in text.read_text().splitlines()]
    held_out = [one for one in lines[1:] if crc32(one.encode()) % 100 == 0]
    assert held_out
    return held_out


def test_what_is_held_out_is_not_learnt(text: Path, tmp_path: Path) -> None:
    """The vocabulary of the file is that of the file without those documents."""
    rest = tmp_path / "rest.jsonl"
    held_out = set(held_out_of(text))
    lines = [line for line in text.read_text().splitlines(keepends=True) if json.loads(line)["text"] not in held_out]
    rest.write_text("".join(lines))
    assert learn(text, tmp_path / "a").vocabulary == learn(rest, tmp_path / "b").vocabulary


def test_the_same_text_leaves_the_same_bytes(text: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        learn(text, tmp_path / name, size=300, cased=True, unused=5)
    assert [(tmp_path / "a" / name).read_bytes() for name in NAMES] == [
        (tmp_path / "b" / name).read_bytes() for name in NAMES
    ]
    assert not Tokenizer.from_folder(tmp_path / "a").lowercase


def test_bpe_opens_in_transformers_and_not_here(text: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    learn(text, tmp_path, unused=0)
    settings = VocabSettings(input=(str(text),), out=str(tmp_path), size=400, unused=0, kind="bpe", overwrite=True)
    learned = vocab(settings, console=Console(quiet=True))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    lines = [json.loads(line)["text"] for line in text.read_text().splitlines()[:50]]
    ids, bounds = TokenizersEncoder((tmp_path / "tokenizer.json").read_text()).encode(lines)
    assert [theirs(line, add_special_tokens=False)["input_ids"] for line in lines] == [
        ids[bounds[row] : bounds[row + 1]].tolist() for row in range(len(lines))
    ]
    assert theirs.convert_ids_to_tokens(range(400)) == learned.tokens
    assert theirs.mask_token_id == 4
    assert not (tmp_path / "vocab.txt").exists()  # WordPiece would be read from it
    with pytest.raises(TokenizerError, match="a BPE tokenizer"):
        Tokenizer.from_folder(tmp_path)


class Numbered:
    """A source of documents "0", "1", ... of 1,000 bytes each, which notes that its reading has ended."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number, self.open = name, number, 0

    def documents(self, counts: Counter[str]) -> Iterator[Document]:
        self.open += 1
        try:
            for place in range(self.number):
                yield Document([f"{self.name} {place}".ljust(499), "x" * 500], False, "")
            counts["titles"] += self.number
        finally:
            self.open -= 1


def test_two_readings_are_the_same_and_stop_at_the_limit() -> None:
    sources = [Numbered(name, 1000) for name in "abcdefgh"]
    texts = LearningTexts(sources, 2_500_000, Bar("x", (), console=Console(quiet=True)))  # type: ignore[arg-type]
    first, held_out = list(texts), texts.held_out
    assert list(texts) == first
    assert texts.held_out == held_out
    assert texts.documents == 2500
    assert len(first) == 2 * 2500
    assert texts.megabytes == 2.5
    assert texts.stopped
    assert 10 < len(held_out) < 50
    assert not {one.partition("\n")[0] for one in held_out} & set(first)
    assert {one[0] for one in first[::2]} != set("abc")  # the files are shuffled
    assert not any(source.open for source in sources)
    assert texts.counts["titles"] == 2000  # of the last reading alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "--size is 0"),
        ({"unused": -1}, "--unused is -1"),
        ({"min_frequency": 0}, "--min-frequency is 0"),
        ({"coverage": 0.0}, "--coverage is 0"),
        ({"coverage": 1.5}, "--coverage is 1.5"),
        ({"megabytes": 1e6}, "--megabytes is 1e\\+06; .* at most 20,000"),
        ({"size": 110}, "--size is 110; .* need 127"),
        ({"compare": ("./nowhere",)}, "there is no such folder"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str, text: Path, tmp_path: Path) -> None:
    with pytest.raises(BertsmithError, match=message) as caught:
        learn(text, tmp_path / "v", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "v").exists()


def test_text_without_words(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("\u200b\n")
    with pytest.raises(DataError, match="no words to learn from"):
        learn(tmp_path / "x.txt", tmp_path / "v")


def test_places_that_are_taken(text: Path, tmp_path: Path, model_folder: Callable[[str], Path], corpus: Path) -> None:
    for place, what in ((model_folder("classify"), "model"), (corpus, "corpus")):
        with pytest.raises(OutputError, match=f"holds a {what}, which goes with its own vocabulary"):
            learn(text, place, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        learn(text, text)
    before = learn(text, tmp_path / "v").vocabulary
    with pytest.raises(OutputError, match="give --overwrite"):
        learn(text, tmp_path / "v", size=300)
    assert Tokenizer.from_folder(tmp_path / "v").vocabulary == before
    assert learn(text, tmp_path / "v", size=300, overwrite=True).vocab_size == 300


def test_what_falls_short_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.txt").write_text("One paragraph and nothing else.\n")
    assert run(["vocab", "--input", str(tmp_path / "x.txt"), "--out", str(tmp_path / "v")]) == 0
    printed = capfd.readouterr()
    assert printed.out == ""
    told = " ".join(printed.err.split())
    assert "note: fewer tokens than --size 30,522: no more pieces meet 2 times" in told
    assert "note: too few documents to hold one out" in told
