"""Reading real files (row counts as their publishers give them) and every form in small."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import polars
import pytest

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables import Table, read, read_texts

COLA = ["source", "label", "note", "sentence"]
STSB = ["genre", "file", "year", "id", "score", "sentence1", "sentence2", "..."]
CODAH = ["category", "prompt", "a", "b", "c", "d", "label"]


@pytest.mark.parametrize(
    ("name", "columns", "rows"),
    [
        ("cola/raw/in_domain_train.tsv", COLA, 8551),
        ("cola/raw/in_domain_dev.tsv", COLA, 527),
        ("cola/raw/out_of_domain_dev.tsv", COLA, 516),
        ("sst2/train.tsv", None, 67349),
        ("sst2/dev.tsv", None, 872),
        ("stsb/sts-train.csv", STSB, 5749),
        ("stsb/sts-dev.csv", STSB, 1500),
        ("stsb/sts-test.csv", STSB, 1379),
        ("mrpc/train.tsv", None, 3668),
        ("mrpc/dev.tsv", None, 408),
        ("mrpc/test.tsv", None, 1725),
        ("mrpc/msr_paraphrase_test.txt", None, 1725),
        ("conll2003/eng.train", None, 14041),
        ("conll2003/eng.testa", None, 3250),
        ("conll2003/eng.testb", None, 3453),
        ("squad/dev-v1.1.json", None, 10570),
        ("squad/train-subset.json", None, 4000),
        ("codah/full_data.tsv", CODAH, 2776),
        ("chnsenticorp/train.tsv", ["text", "label"], 9600),
        ("chnsenticorp/dev.tsv", ["text", "label"], 1200),
        ("chnsenticorp/test.tsv", None, 1200),
    ],
)
def test_real_files_have_their_published_number_of_rows(
    shared_data: Callable[[str], Path], name: str, columns: list[str] | None, rows: int
) -> None:
    assert len(read(shared_data(name), columns=columns)) == rows


def test_cola_labels_and_lines(shared_data: Callable[[str], Path]) -> None:
    table = read(shared_data("cola/raw/out_of_domain_dev.tsv"), columns=COLA)
    assert table.column("label").count("1") == 354
    assert table.where(515).endswith("out_of_domain_dev.tsv, line 516")


def test_mrpc_has_no_mark_in_its_header_and_keeps_its_quotes(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("mrpc/dev.tsv")
    table = read(path)
    assert table.names == ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    assert table.column("#2 String")[0] == '"The foodservice pie business does not fit our long-term growth strategy.'
    quotes = sum(value.count('"') for name in table.names for value in table.column(name))
    assert quotes == path.read_text(encoding="utf-8").count('"') > 0


def test_stsb_scores_and_quotes_in_a_csv_of_tabs(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("stsb/sts-train.csv")
    table = read(path, columns=STSB)
    assert table.names == STSB[:-1]
    scores = [float(score) for score in table.column("score")]
    assert min(scores) == 0
    assert max(scores) == 5
    expected = [line.split("\t")[5] for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]
    assert table.column("sentence1") == expected


def test_conll_sentences(shared_data: Callable[[str], Path]) -> None:
    table = read(shared_data("conll2003/eng.testa"))
    assert table.names == ["words", "pos", "chunk", "entity"]
    assert table.column("words")[0][:3] == ["CRICKET", "-", "LEICESTERSHIRE"]
    assert table.column("entity")[0][:3] == ["O", "O", "I-ORG"]
    assert table.where(0).endswith("line 3")
    assert not any("-DOCSTART-" in words for words in table.column("words"))
    assert sum(map(len, table.column("words"))) == 51362  # tokens of testa, as the shared task's paper counts them


def test_squad_answers_are_in_their_contexts(shared_data: Callable[[str], Path]) -> None:
    table = read(shared_data("squad/dev-v1.1.json"))
    assert table.names == ["id", "title", "context", "question", "answers", "is_impossible"]
    assert not any(table.column("is_impossible"))
    for context, answers in zip(table.column("context"), table.column("answers"), strict=True):
        assert answers
        for answer in answers:
            assert context.startswith(answer["text"], answer["answer_start"])


# Forms, in small


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def zst(content: bytes) -> bytes:
    """A frame that does not state its size, as ``zstd`` makes of what is piped into it."""
    packer = pytest.importorskip("zstandard").ZstdCompressor().compressobj()
    packed: bytes = packer.compress(content) + packer.flush()
    return packed


PACKERS = [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zst)]


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_packed_files(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"x.tsv.{suffix}"
    path.write_bytes(pack(b"text\tlabel\na\t1\n"))
    assert read(path).columns == {"text": ["a"], "label": ["1"]}
    path.write_bytes(path.read_bytes() + pack(b"b\t2\n") + pack(b"c\t3\n"))
    assert read(path).columns == {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_a_packed_file_cut_short_or_damaged_is_named(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    """Wherever the cut is but between two streams, which leaves a whole file."""
    path = tmp_path / f"x.tsv.{suffix}"
    first = pack(b"text\tlabel\n" + b"".join(b"%d\t1\n" % number for number in range(50)))
    whole = first + pack(b"a\t1\n" * 9)
    message = rf"^{path}: damaged or not really \.{suffix} \([^\n]+\); copy or pack it again$"
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        if size != len(first):
            with pytest.raises(DataError, match=message):
                read(path)
    for content in (b"text\tlabel\na\t1\n", whole + b"more"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read(path)


def test_zst_without_its_package_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "x.tsv.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(DataError, match=r"x\.tsv\.zst: zstandard is not installed; unpack the file with"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_are_understood(tmp_path: Path, encoding: str) -> None:
    table = read(write(tmp_path, "x.tsv", "text\tlabel\nnaïve 语\t1\n", encoding))
    assert table.columns == {"text": ["naïve 语"], "label": ["1"]}


def test_utf_16_in_both_byte_orders(tmp_path: Path) -> None:
    for order in ("utf-16-le", "utf-16-be"):
        assert read(write(tmp_path, "x.tsv", "\ufefftext\nnaïve\n", order)).columns == {"text": ["naïve"]}


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {"text": ["a", "b"], "label": [0, 1], "score": [0.5, float("inf")], "words": [["a", "b"], []]}
    polars.DataFrame(columns).write_parquet(path)
    table = read(path)
    assert table.columns == columns
    assert table.where(1).endswith("x.parquet, row 2")


def test_damaged_or_empty_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    polars.DataFrame({"text": ["a"] * 100}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"x\.parquet: not readable as Parquet"):
        read(path)
    polars.DataFrame({"text": []}).write_parquet(path)
    with pytest.raises(DataError, match="no rows"):
        read(path)


def test_columns_are_refused_where_the_file_names_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", '{"text": "a"}\n')
    with pytest.raises(SettingsError, match="leave --columns out"):
        read(path, columns=["text"])


def test_sources_are_read_by_name() -> None:
    made = Table.from_rows([{"text": "a"}], path="mine")
    assert read("mine", sources={"mine": lambda: made}) is made
    assert read_texts("mine", sources={"mine": lambda: made}) is made
    with pytest.raises(DataError, match="mine: no such file"):
        read("mine")


def test_text_without_tabs_or_suffix_is_not_guessed_at(tmp_path: Path) -> None:
    path = write(tmp_path, "notes.txt", "one line\nanother\n")
    with pytest.raises(DataError, match=r"cannot tell its format by the suffix '\.txt'"):
        read(path)
    assert read(path, columns=["text"]).column("text") == ["one line", "another"]


def test_missing_files_and_folders(tmp_path: Path) -> None:
    write(tmp_path, "train.tsv", "text\na\n")
    with pytest.raises(DataError, match=r"no such file; did you mean 'train\.tsv'\?"):
        read(tmp_path / "trian.tsv")
    with pytest.raises(DataError, match=r"its folder holds train\.tsv$"):
        read(tmp_path / "zzz.parquet")
    with pytest.raises(DataError, match="does not exist either"):
        read(tmp_path / "no" / "x.tsv")
    with pytest.raises(DataError, match=r"a folder, not a file; name one file in it \(train\.tsv\)$"):
        read(tmp_path)
    for name in ("data (1).tsv", "a", "b"):
        (tmp_path / "many" / "folders" / name).mkdir(parents=True)
    write(tmp_path / "many", "data (2).tsv", "text\na\n")
    with pytest.raises(DataError, match=r"its folder holds data \(2\)\.tsv, folders/$"):
        read(tmp_path / "many" / "zzz.parquet")
    with pytest.raises(DataError, match=r"name one file in it \(a/, b/, data \(1\)\.tsv/\)$"):
        read(tmp_path / "many" / "folders")
    with pytest.raises(DataError, match=r"name one file in it \(nothing\)$"):
        read(tmp_path / "many" / "folders" / "a")


@pytest.mark.parametrize("name", ["x.tsv", "x.csv", "x.jsonl", "x.json", "x.conll", "x.txt"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_files(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match="empty"):
        read(path)
    with pytest.raises(DataError, match="empty"):
        read(path, columns=["a", "b"] if "json" not in name else None)


def test_errors_are_one_line(tmp_path: Path) -> None:
    for name, content in {"a.tsv": "a\tb\n1\n", "b.jsonl": "{\n\n", "c.csv": '"a\n\n\n', "d.json": "[1]"}.items():
        with pytest.raises(DataError) as error:
            read(write(tmp_path, name, content))
        assert "\n" not in str(error.value)
        assert name in str(error.value)


# Texts to predict on


def test_lines_of_text_keep_their_places(tmp_path: Path) -> None:
    table = read_texts(write(tmp_path, "x.txt", '\ufefffirst, line\r\n\r\n"third"\tline'))
    assert table.columns == {"text": ["first, line", "", '"third"\tline']}
    assert table.where(2).endswith("x.txt, line 3")


def test_texts_of_tables_are_read_as_tables(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": "b\nc"}]
    path = write(tmp_path, "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_texts(path).column("text") == ["a", "b\nc"]
    assert read_texts(write(tmp_path, "x.csv", "sentence\na\n")).names == ["sentence"]
    assert read_texts(write(tmp_path, "x", "a\t1\n"), columns=["text", "_"]).columns == {"text": ["a"]}


def test_no_lines_of_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        read_texts(write(tmp_path, "x.txt", ""))
