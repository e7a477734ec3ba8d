"""cluster: groups that are known, by every method, as lines, as a table and as a page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bertsmith.cli.app import run
from bertsmith.embedding.clusters import by_size
from bertsmith.engine.embedder import Embedder
from bertsmith.errors import OutputError, SettingsError
from bertsmith.stages.cluster import ClusterSettings, cluster
from bertsmith.stages.embedding_options import EmbedderOptions

Folder = Callable[[str], Path]
HOW = EmbedderOptions(precision="fp32", engine="torch")
QUIET = Console(quiet=True)

GROUPS = {
    "cats": [
        "The cat sleeps on the sofa.", "A kitten chases a ball of wool.", "My cat purrs when I stroke it.",
        "The cat drinks milk.", "Cats like to climb trees.", "Our kitten scratches the furniture.",
    ],
    "trains": [
        "The train to Berlin is late.", "I missed my train at the station.", "A railway ticket costs ten euros.",
        "The railway line is closed.", "The express train stops at platform four.",
    ],
    "bread": [
        "Knead the dough for ten minutes.", "Bake the bread in a hot oven.", "The bread needs flour, yeast and salt.",
        "Let the dough rise overnight.",
    ],
}  # fmt: skip


def mixed() -> tuple[list[str], list[int]]:
    """The texts in an order that mixes them, and the group of each, from 0, the largest group first."""
    every = [(text, number) for number, texts in enumerate(GROUPS.values()) for text in texts]
    order = np.random.default_rng(0).permutation(len(every)).tolist()
    return [every[place][0] for place in order], [every[place][1] for place in order]


def write(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def starter(starter_folder: Path) -> Embedder:
    return Embedder.open(starter_folder, precision="fp32", engine="torch")


@pytest.fixture
def _starter_once(starter: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the model, the starter is at hand, opened once for all tests."""
    monkeypatch.setattr(EmbedderOptions, "open", lambda self, model, console: starter)


@pytest.mark.usefixtures("_starter_once")
@pytest.mark.parametrize(
    "options",
    [
        {"method": "communities", "least": 0.25},
        {"method": "kmeans", "number": 3},
        {"method": "agglomerative", "number": 3},
        {"method": "agglomerative", "least": 0.2},
    ],
    ids=["communities", "kmeans", "number", "least"],
)
def test_groups_that_are_known_are_found(options: dict[str, Any], tmp_path: Path) -> None:
    texts, groups = mixed()
    source = write(tmp_path / "t.txt", texts)
    labels = cluster(ClusterSettings(str(source), **options), console=QUIET)
    assert labels.tolist() == groups


@pytest.mark.usefixtures("_starter_once")
def test_a_text_that_is_like_no_other_belongs_to_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a group that is smaller than --smallest is none either."""
    texts, groups = mixed()
    source = write(tmp_path / "t.txt", ["Interest rates rose by half a point.", *texts])
    settings = ClusterSettings(str(source), least=0.25, smallest=5)
    labels = cluster(settings, console=QUIET)
    assert labels.tolist() == [-1, *(-1 if group == 2 else group for group in groups)]

    told = lines_of(capsys.readouterr().out)
    assert [list(line) for line in told] == [["cluster", "texts", "words", "middle"]] * 2
    assert [(line["cluster"], line["texts"]) for line in told] == [(0, 6), (1, 5)]
    for line, name, words in zip(told, GROUPS, [{"cat", "kitten"}, {"train", "railway"}], strict=False):
        assert line["middle"] in GROUPS[name]
        assert words <= set(line["words"])


def test_lines_stand_in_the_order_of_the_rows(model_folder: Folder, tmp_path: Path) -> None:
    """With the ids of the rows, and the numbers that are returned. On a tiny model, whatever its groups are."""
    texts, _ = mixed()
    rows = [{"id": f"r{number}", "text": text} for number, text in enumerate(texts)]
    source = write(tmp_path / "t.jsonl", [json.dumps(row) for row in rows])
    out = tmp_path / "deep" / "groups.jsonl"
    settings = ClusterSettings(
        str(source), str(model_folder("embed")), method="kmeans", number=4, out=str(out), how=HOW
    )  # fmt: skip
    labels = cluster(settings, console=QUIET)
    found = lines_of(out.read_text())
    assert [list(line) for line in found] == [["id", "cluster", "text"]] * len(rows)
    assert [{"id": line["id"], "text": line["text"]} for line in found] == rows
    assert [line["cluster"] for line in found] == labels.tolist()
    sizes = np.bincount(labels).tolist()
    assert len(sizes) == 4
    assert sizes == sorted(sizes, reverse=True)
    assert by_size(labels).tolist() == labels.tolist()
    before = out.read_bytes()
    cluster(settings, console=QUIET)
    assert out.read_bytes() == before


def test_lines_of_a_file_without_ids(model_folder: Folder, tmp_path: Path) -> None:
    """-1 stands for none."""
    source, out = write(tmp_path / "t.txt", ["the cat", "the cat", "the cat", "a sad film"]), tmp_path / "o.jsonl"
    cluster(ClusterSettings(str(source), str(model_folder("embed")), least=0.9999, out=str(out), how=HOW))
    assert lines_of(out.read_text()) == [
        *[{"cluster": 0, "text": "the cat"}] * 3,
        {"cluster": -1, "text": "a sad film"},
    ]


class Page(HTMLParser):
    """The start and end tags of a page, and what its links and assets name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.named: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.named += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "data", "srcset")]
        if tag not in ("meta", "br", "link", "img", "hr", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_is_whole_and_needs_nothing_else(starter_folder: Path, tmp_path: Path) -> None:
    texts, _ = mixed()
    texts = ["<script>alert('1 & 2')</script> cat & kitten <b>", "Interest rates rose.", *texts]
    source, page = write(tmp_path / "t.txt", texts), tmp_path / "deep" / "clusters.html"
    settings = ClusterSettings(str(source), str(starter_folder), least=0.25, report=str(page), how=HOW)
    told = Console(width=400, record=True, file=(tmp_path / "err").open("w"))
    labels = cluster(settings, console=told)
    assert f"open {page} in a browser" in told.export_text()

    html = page.read_text(encoding="utf-8")
    parsed = Page(html)
    assert parsed.open == []
    assert html.startswith("<!doctype html>")
    assert html.endswith("</html>\n")
    assert all(name.startswith("#") for name in parsed.named)
    assert not re.search(r"url\((?!#)|@import|<link|<script", html)

    words = unescape(re.sub(r"<[^>]+>", " ", html))
    alone = int((labels < 0).sum())
    assert "Clusters of t.txt" in words
    assert f"{len(texts)} texts in {labels.max() + 1} clusters" in words
    assert re.search(rf"\b{alone} texts? belongs? to none", words)
    rows = re.findall(r"<tr><td.*?</tr>", html, re.DOTALL)
    assert len(rows) == labels.max() + 1
    for number, row in enumerate(rows):
        own = [texts[place] for place in np.flatnonzero(labels == number)]
        cells = [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        assert cells[0].split()[-1] == str(number)
        assert cells[1] == str(len(own))
        assert cells[3] in own
    assert [path.name for path in page.parent.iterdir()] == ["clusters.html"]


@pytest.mark.parametrize("texts", [["the cat"], ["the cat"] * 12, [f"cat {number}" for number in range(9)]])
def test_few_texts_and_equal_ones_have_a_page_too(texts: list[str], model_folder: Folder, tmp_path: Path) -> None:
    source, page = write(tmp_path / "t.txt", texts), tmp_path / "p.html"
    for options in ({"method": "kmeans", "number": 1}, {"method": "agglomerative"}, {"method": "communities"}):
        settings = ClusterSettings(str(source), str(model_folder("embed")), report=str(page), how=HOW, **options)  # type: ignore[arg-type]
        labels = cluster(settings, console=QUIET)
        assert len(labels) == len(texts)
        assert Page(page.read_text()).open == []
        page.unlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--method kmeans", "--method kmeans needs the number of clusters; give --number"),
        ("--method kmeans --number 4", "--number is 4, and there are 3 texts; give from 1 to 3"),
        ("--method kmeans --number 0", "--number is 0, and there are 3 texts; give from 1 to 3"),
        ("--method agglomerative --number 4", "--number is 4, and there are 3 texts; give from 1 to 3"),
        ("--method agglomerative --number -1", "--number is -1, and there are 3 texts; give from 1 to 3"),
        ("--number 2", "--method communities finds how many there are; give --least in place of --number"),
        ("--method kmeans --number 2 --least 0.5", "--method kmeans takes no --least; give --number alone"),
        ("--method agglomerative --number 2 --least 0.5", "--number and --least exclude each other; give one of them"),
    ],
)
def test_what_cannot_be_grouped_is_told_in_a_line(
    words: str, message: str, model_folder: Folder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "t.txt", ["the cat", "a dog", "a film"]), tmp_path / "o.jsonl"
    model = str(model_folder("embed"))
    capfd.readouterr()
    code = run(["cluster", "--input", str(source), "--model", model, "--out", str(out), *words.split()])
    captured = capfd.readouterr()
    assert (code, captured.out, captured.err) == (2, "", f"bertsmith: error: {message}\n")
    assert not out.exists()


def test_a_method_that_is_none() -> None:
    with pytest.raises(SettingsError, match="--method 'kmean' is none; did you mean 'kmeans'"):
        ClusterSettings("t.txt", method="kmean")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["out", "report"])
def test_an_impossible_output_is_told_before_the_model_is_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        cluster(ClusterSettings("none.txt", "no/such/model", **{name: str(tmp_path)}))  # type: ignore[arg-type]


def test_a_reader_that_has_enough_costs_no_report(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """As in ``bertsmith cluster ... | head -1``: files are written before anything is shown."""
    (tmp_path / "t.txt").write_text("".join(f"the cat sat on mat {number}\n" for number in range(12)))
    words = [
        "--input",
        str(tmp_path / "t.txt"),
        "--method",
        "kmeans",
        "--number",
        "3",
        "--report",
        str(tmp_path / "c.html"),
    ]
    command = [sys.executable, "-m", "bertsmith", "cluster", "--model", str(model_folder("embed")), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 141
    assert "</html>" in (tmp_path / "c.html").read_text()
