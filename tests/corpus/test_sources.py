from __future__ import annotations

import bz2
import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars
import pytest

from bertsmith.corpus import sources
from bertsmith.corpus.documents import CUTS, LONGEST_TEXT, Document
from bertsmith.corpus.forms import HEADS, LONG_LINES, LONG_RECORDS, LONGEST_RECORD, MARKUP, NO_TEXT, TITLES
from bertsmith.corpus.lines import CUT_OFF
from bertsmith.corpus.sources import Form, find_sources
from bertsmith.errors import DataError, SettingsError
from bertsmith.text import pydocs

WIKI = """<doc id="12" url="http://en.wikipedia.org/wiki?curid=12" title="Ice &amp; "snow"">
Ice & "snow"

Ice is frozen water, and snow ( ; ) is made of it.
|{{#ifeq:|.|A|a}}rchived
History.
Early use.
It was known to the ancients, who kept it in pits below their houses.

</doc>
<doc id="13" url="http://en.wikipedia.org/wiki?curid=13" title="Nothing">
Nothing
</doc>
"""
ICE = [
    "Ice is frozen water, and snow is made of it.",
    "It was known to the ancients, who kept it in pits below their houses.",
]
SENTENCES = "Ice is frozen water.\nSnow is made of it.\n\nThe sea is salt.\nIt is wide.\n"
WRAPPED = """The harbour lies in the north of the island, where
the wind comes in from the sea for most of the
year.

Chapter two

Ships have stopped there since the fourteenth
century, when the first of the walls was built.
"""


def read(
    path: Path | str, form: Form = "auto", text: str | None = None, counts: Counter[str] | None = None
) -> list[Document]:
    """All documents of an input."""
    counts = Counter() if counts is None else counts
    return [one for source in find_sources([str(path)], form=form, text=text) for one in source.documents(counts)]


def texts(path: Path | str, form: Form = "auto", text: str | None = None) -> list[list[str]]:
    return [document.texts for document in read(path, form, text)]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file into the test's folder."""

    def write(name: str, content: str | bytes) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


Write = Callable[[str, str | bytes], Path]


def test_wikiextractor_s_output(write: Write) -> None:
    file = write("AA/wiki_00.bz2", bz2.compress(WIKI.encode()))
    counts: Counter[str] = Counter()
    assert read(file, counts=counts) == [Document(ICE, False, f"{file}, line 4")]
    assert counts == {TITLES: 2, MARKUP: 1, HEADS: 2, NO_TEXT: 1}


def test_wikiextractor_s_json(write: Write) -> None:
    body = WIKI.split("\n", 1)[1].split("\n</doc>")[0]
    record = {"id": "12", "revid": "1", "url": "https://x", "title": 'Ice & "snow"', "text": body}
    file = write("wiki_00", json.dumps(record) + "\n")
    counts: Counter[str] = Counter()
    assert read(file, counts=counts) == [Document(ICE, False, f"{file}, line 1")]
    assert counts == {TITLES: 1, MARKUP: 1, HEADS: 2}


def test_wikiextractor_s_output_cut_off(write: Write) -> None:
    for end in (WIKI.index('<doc id="13') + 20, WIKI.index("below")):
        counts: Counter[str] = Counter()
        assert len(read(write("wiki_00", WIKI[:end]), counts=counts)) == 1
        assert counts[CUT_OFF] == 1


def test_a_file_that_is_not_of_its_form_is_named_with_its_line(write: Write) -> None:
    file = write("wiki_00", WIKI + "Some text.\n")
    with pytest.raises(DataError, match=r"wiki_00, line 14: text outside <doc ...> and </doc>"):
        read(file)


def test_google_s_form(write: Write) -> None:
    file = write("text.txt", SENTENCES)
    assert read(file) == [
        Document(["Ice is frozen water.", "Snow is made of it."], True, f"{file}, line 1"),
        Document(["The sea is salt.", "It is wide."], True, f"{file}, line 4"),
    ]


def test_paragraphs_on_one_line_each(write: Write) -> None:
    one, two = "Ice is frozen water. Snow is made of it.", "The sea is salt. It is wide. Few live there."
    file = write("text.txt", f"{one}\n\n{two}\n")
    assert read(file) == [Document([one, two], False, f"{file}, line 1")]


def test_paragraphs_broken_at_a_width_are_joined_and_heads_dropped(write: Write) -> None:
    counts: Counter[str] = Counter()
    documents = read(write("book.txt", WRAPPED.replace("\n", "\r\n")), counts=counts)
    assert [document.texts for document in documents] == [
        [
            "The harbour lies in the north of the island, where the wind comes in from the sea for most of the year.",
            "Ships have stopped there since the fourteenth century, when the first of the walls was built.",
        ]
    ]
    assert counts == {HEADS: 1}


def test_json_lines_with_a_named_column(write: Write) -> None:
    lines = [
        {"body": "Ice is frozen water.\n\nSnow is made of it."},
        {"body": None},
        {"other": 1},
        {"body": "one line"},
    ]
    file = write("posts.jsonl.gz", gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    counts: Counter[str] = Counter()
    assert read(file, text="body", counts=counts) == [
        Document(["Ice is frozen water.", "Snow is made of it."], False, f"{file}, line 1"),
        Document(["one line"], False, f"{file}, line 4"),
    ]
    assert counts == {NO_TEXT: 2}


def test_a_missing_column_is_named(write: Write) -> None:
    with pytest.raises(DataError, match=r"posts\.jsonl, line 1: no column 'text' .*'body'.*--text"):
        read(write("posts.jsonl", '{"body": "Ice."}\n'))
    with pytest.raises(DataError, match=r"posts\.jsonl, line 1: the column 'body' holds no text but \[\"Ice\"\]"):
        read(write("posts.jsonl", '{"body": ["Ice"]}\n'), text="body")


def test_json_that_is_broken_is_named_but_at_the_end_cut_off(write: Write) -> None:
    whole = '{"text": "Ice."}\n'
    with pytest.raises(DataError, match=r"posts\.jsonl, line 2: not valid JSON .* write one whole object a line"):
        read(write("posts.jsonl", whole + '{"text": \n' + whole))
    counts: Counter[str] = Counter()
    assert len(read(write("posts.jsonl", whole + '{"text": "Sn'), counts=counts)) == 1
    assert counts == {CUT_OFF: 1}
    with pytest.raises(DataError, match=r"line 1: not valid JSON"):
        read(write("posts.jsonl", "[\n" + whole + "]"))


def test_a_lone_surrogate_in_json_becomes_the_unknown_character(write: Write) -> None:
    assert texts(write("posts.jsonl", '{"text": "a \\ud83d b \\ud83d\\ude00"}')) == [["a \ufffd b 😀"]]


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "part"
    polars.DataFrame({"text": ["One.\nTwo.", None, "Three."], "id": [1, 2, 3]}).write_parquet(file)
    counts: Counter[str] = Counter()
    assert read(file, counts=counts) == [
        Document(["One.", "Two."], False, f"{file}, row 1"),
        Document(["Three."], False, f"{file}, row 3"),
    ]
    assert counts == {NO_TEXT: 1}
    with pytest.raises(DataError, match="part: no column 'body'"):
        read(file, text="body")
    with pytest.raises(DataError, match="part: the column 'id' holds no text but int64"):
        read(file, text="id")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match="part: not readable as Parquet"):
        read(file)


def test_a_mediawiki_dump(write: Write) -> None:
    pytest.importorskip("wikiextractor", reason="the extra 'dumps' is not installed")
    text = "'''Ice''' ({{lang|x}}) is frozen [[water]].\n== History ==\nHe &amp;#xD83D; left.\n\nHis works include:\n"
    page = f"<page><title>Ice</title><ns>0</ns><revision><text>{text}</text></revision></page>"
    file = write("dump.xml", f'<?xml version="1.0"?>\n<mediawiki xml:lang="en">\n  <siteinfo/>{page}</mediawiki>')
    counts: Counter[str] = Counter()
    assert read(file, counts=counts) == [
        Document(["Ice is frozen water.", "He \ufffd left."], False, f"{file}, page 'Ice'")
    ]
    assert counts == {HEADS: 1}


def test_pydocs_are_a_document_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    harvest = [pydocs.Docstring(f"Return {name}.", "text", name[0], name) for name in ("a1", "a2", "b1")]
    monkeypatch.setattr(pydocs, "harvest", lambda: harvest)
    assert read("pydocs") == [
        Document(["Return a1.", "Return a2."], False, "pydocs, module a"),
        Document(["Return b1."], False, "pydocs, module b"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("wiki_00", WIKI, "wikiextractor"),
        ("wiki_00.bz2", bz2.compress(WIKI.encode()), "wikiextractor"),
        ("a.xml", '\n<mediawiki xmlns="http://www.mediawiki.org/">', "mediawiki"),
        ("a.xml", '<mediawiki xmlns="http://www.mediawiki.org/">'.encode("utf-16"), "mediawiki"),
        ("posts", '{"text": "Ice."}\n', "json"),
        ("a.txt", SENTENCES, "sentences"),
        ("a.txt", "今天天气很好。\n我们去公园散步。\n\n然后回家。\n", "sentences"),
        ("a.txt", WRAPPED, "paragraphs"),
        ("a.txt", "One. Two.\nThree. Four.\n", "paragraphs"),
        ("a.txt", "今天天气很好。我们去公园散步。\n然后回家。吃饭。\n", "paragraphs"),
        ("a.txt", "", "paragraphs"),
    ],
)
def test_the_form_is_told_by_the_beginning(write: Write, name: str, content: str | bytes, form: Form) -> None:
    (source,) = find_sources([str(write(name, content))])
    assert source.form == form


def test_of_packed_files_in_a_folder_the_first_tells(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AA/wiki_00.bz2", "AA/wiki_01.bz2", "AB/wiki_00.bz2"):
        write(name, bz2.compress(WIKI.encode()))
    write("AA/notes.txt.bz2", bz2.compress(SENTENCES.encode()))
    folder = write("AA/more.txt", SENTENCES).parents[1]
    opened: list[str] = []
    tell = sources._tell_by_text
    monkeypatch.setattr(sources, "_tell_by_text", lambda path: opened.append(path) or tell(path))
    found = find_sources([str(folder)])
    assert [source.form for source in found] == ["sentences", "sentences", *["wikiextractor"] * 3]
    assert len(opened) == 4


def test_folders_globs_and_files_are_in_order_and_come_once(write: Write) -> None:
    for name in ("b/2.txt", "b/10.txt", "b/.hidden.txt", "b/.git/config", "a.txt", "c.md"):
        write(name, SENTENCES)
    folder = write("b/x/1.txt", SENTENCES).parents[2]
    found = find_sources([str(folder / "b"), str(folder / "*.txt"), str(folder), str(folder / "b" / ".." / "a.txt")])
    names = [Path(source.name).relative_to(folder).as_posix() for source in found]
    assert names == ["b/10.txt", "b/2.txt", "b/x/1.txt", "a.txt", "c.md"]


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        DataError, match="no ordinary file; write it to the disk first, since it is read more than once"
    ):
        find_sources([str(tmp_path / "pipe")])


def test_linked_folders_are_read_once_and_hidden_ones_not(tmp_path: Path) -> None:
    for name in ("in/a.txt", "in/b/c.txt", "in/.hidden/d.txt", "elsewhere/e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("A sentence stands here.\n")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/b/back").symlink_to(tmp_path / "in")
    found = [Path(one.name).relative_to(tmp_path / "in").as_posix() for one in find_sources([str(tmp_path / "in")])]
    assert found == ["a.txt", "b/c.txt", "linked/e.txt"]


def test_inputs_that_are_not_there_are_named(write: Write, tmp_path: Path) -> None:
    write("text.txt", SENTENCES)
    with pytest.raises(DataError, match=r"tex\.txt: no such file; did you mean 'text.txt'"):
        find_sources([str(tmp_path / "tex.txt")])
    with pytest.raises(DataError, match=r"\*\.json: no file has such a name"):
        find_sources([str(tmp_path / "*.json")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no files in this folder"):
        find_sources([str(tmp_path / "empty")])
    with pytest.raises(DataError, match=r"tex\.txt: no such file"):  # also where nothing is looked into
        read(tmp_path / "tex.txt", form="sentences")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("table.csv", "text,label\nIce,1\n", "a table; write its texts as JSON"),
        ("page.html", "<!doctype html>", "a web page"),
        ("model.bin", b"\x7fELF\0\0", "a binary file, not text"),
        ("text.txt", "caf\xe9 is good".encode("latin-1"), "byte 0xe9 at offset 3 is not UTF-8"),
    ],
)
def test_what_cannot_be_a_source_is_refused_at_once(
    write: Write, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        find_sources([str(write(name, content))])


def test_options_that_fit_no_source_are_refused(write: Write) -> None:
    file = str(write("text.txt", SENTENCES))
    with pytest.raises(SettingsError, match="--form sentence: unknown; did you mean 'sentences'"):
        find_sources([file], form="sentence")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no file is of the form pydocs"):
        find_sources([file], form="pydocs")
    with pytest.raises(SettingsError, match="--text body: no input has columns"):
        find_sources([file], text="body")


def test_a_file_of_the_hub(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("cache/part.jsonl", '{"text": "Ice."}\n')
    monkeypatch.setattr(sources, "fetch", lambda address: str(file))
    assert texts("hf://datasets/owner/name/part.jsonl") == [["Ice."]]


@pytest.mark.parametrize("form", ["sentences", "paragraphs"])
def test_a_50_mb_line_is_cut_into_pieces_and_counted(write: Write, form: Form) -> None:
    file = write("long.txt", "First.\n" + "no end of it " * 4_000_000 + "\nLast.\n")
    counts: Counter[str] = Counter()
    (source,) = find_sources([str(file)], form=form)
    num_characters = 0
    for document in source.documents(counts):
        assert max(map(len, document.texts)) <= LONGEST_TEXT
        num_characters += sum(map(len, document.texts))
    assert num_characters > 51_000_000
    assert counts[LONG_LINES] == 1
    assert counts[CUTS] > 40


def test_a_50_mb_record_is_dropped_and_counted(write: Write, tmp_path: Path) -> None:
    record = json.dumps({"text": "x" * 50_000_000})
    counts: Counter[str] = Counter()
    file = write("long.jsonl", '{"text": "First."}\n' + record + '\n{"text": "Last."}\n')
    assert [document.texts for document in read(file, counts=counts)] == [["First."], ["Last."]]
    assert counts == {LONG_RECORDS: 1}
    table = tmp_path / "long.parquet"
    polars.DataFrame({"text": ["First.", "x" * (LONGEST_RECORD + 1), "Last."]}).write_parquet(table)
    assert [document.texts for document in read(table, counts=counts)] == [["First."], ["Last."]]
    assert counts == {LONG_RECORDS: 2}


def test_wikipedia_of_2015(shared_data: Callable[[str], Path]) -> None:
    counts: Counter[str] = Counter()
    documents = read(shared_data("enwiki/AA/wiki_00.bz2"), counts=counts)
    assert documents[0].texts[0].startswith("Anarchism is a political philosophy")
    lines = {text for document in documents for text in document.texts}
    assert not lines & {"Anarchism", "History.", "Etymology and terminology.", "Post-war years."}
    assert counts[TITLES] == len(documents) + counts[NO_TEXT]
    assert not any(text.endswith((":", ".")) and len(text.split()) < 7 for text in lines)


def test_wikiextractor_s_json_of_wikipedia(shared_data: Callable[[str], Path]) -> None:
    counts: Counter[str] = Counter()
    documents = read(shared_data("wikiextractor/json_wiki_00"), counts=counts)
    assert len(documents) == 36
    assert documents[0].texts[0].startswith("Anarchism is an anti-authoritarian political philosophy")
    assert counts[TITLES] == 37
