from __future__ import annotations

import bz2
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.corpus import mediawiki, wikitext
from bertsmith.corpus.lines import CUT_OFF
from bertsmith.corpus.mediawiki import NO_ARTICLES, NOT_UNDERSTOOD, REDIRECTS, TOO_LONG, Article, read_dump
from bertsmith.errors import DataError

pytest.importorskip("wikiextractor", reason="the extra 'dumps' is not installed")


def page(title: str, text: str, *, namespace: str = "0", more: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{namespace}</ns><id>1</id>{more}<revision><id>2</id>"
        f'<model>wikitext</model><text xml:space="preserve">{text}</text></revision></page>\n'
    )


def dump(*pages: str) -> str:
    return '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">' + "".join(pages) + "</mediawiki>"


Read = Callable[[str | bytes], tuple[list[Article], Counter[str]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes a dump and reads it: its articles, and what was counted."""

    def write_and_read(content: str | bytes) -> tuple[list[Article], Counter[str]]:
        file = tmp_path / "dump.xml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        counts: Counter[str] = Counter()
        return list(read_dump(str(file), counts)), counts

    return write_and_read


def test_articles_are_plain_paragraphs_in_the_order_of_the_dump(read: Read) -> None:
    text = (
        "'''Ice''' is [[water|frozen water]] &amp;amp; cold.{{ref}}\n== History ==\n* item\nIt &lt;br&gt;melts at 0 °C."
    )
    articles, counts = read(dump(*(page(f"Ice {number}", f"{text} {number}.") for number in range(100))))
    assert [article.title for article in articles] == [f"Ice {number}" for number in range(100)]
    assert articles[7].paragraphs == ["Ice is frozen water & cold.", "It melts at 0 °C. 7."]
    assert counts == {}


def test_pages_left_out_are_counted(read: Read) -> None:
    articles, counts = read(
        dump(
            page("A", "#REDIRECT [[B]]", more='<redirect title="B" />'),
            page("Talk:A", "What a page.", namespace="1"),
            page("B", "The only one."),
            page("A.css", "p {}").replace("wikitext", "css"),
            page("C", "x" * (mediawiki.LONGEST_PAGE + 1)),
        )
    )
    assert articles == [Article("B", ["The only one."])]
    assert counts == {REDIRECTS: 1, NO_ARTICLES: 2, TOO_LONG: 1}


def test_the_argument_of_expr_is_not_run(read: Read, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = f"__import__('os').system('touch {mark}')"
    text = "Here {{#expr: " + command + "}} and {{#expr: 1 + 1}} it is."
    articles, _ = read(dump(page("A", text)))
    assert "2 it is." in articles[0].paragraphs[0]
    assert not mark.exists()


@pytest.mark.parametrize("version", ["3.0.8", "0.1", "3.0"])
def test_a_release_that_runs_code_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with pytest.raises(
        DataError, match=rf"WikiExtractor {version} runs Python code .* pip install 'bertsmith\[dumps\]'"
    ):
        mediawiki.check_extractor()


def test_a_missing_wikiextractor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(DataError, match=r"is not installed; pip install 'bertsmith\[dumps\]'"):
        mediawiki.check_extractor()


def test_what_the_installed_release_cannot_do_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, read: Read, tmp_path: Path
) -> None:
    package = tmp_path / "other" / "wikiextractor"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "extract.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    with pytest.raises(DataError, match=r"left with exit code 1 .*ImportError: cannot import name 'Extractor'"):
        read(dump(page("A", "Text.")))


def test_a_process_that_is_killed_is_told(monkeypatch: pytest.MonkeyPatch, read: Read, tmp_path: Path) -> None:
    program = tmp_path / "wikitext.py"
    program.write_text("import os, sys\nsys.stdin.readline()\nprint('[]', flush=True)\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setattr(mediawiki, "__file__", str(program))
    with pytest.raises(DataError, match=r"WikiExtractor was ended by signal 9 .* \(it said nothing\)"):
        read(dump(*(page(f"A {number}", "Text. " * 20_000) for number in range(200))))


def test_leaving_early_leaves_no_process(tmp_path: Path) -> None:
    file = tmp_path / "dump.xml"
    file.write_text(dump(*(page(f"A {number}", "Text. " * 20_000) for number in range(200))))
    before = children()
    articles = read_dump(str(file), Counter())
    assert next(articles).title == "A 0"
    assert children() > before
    articles.close()  # type: ignore[attr-defined]
    assert children() <= before


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("damage", [lambda text: text[: text.rindex("<text")], lambda text: text[:300], lambda _: ""])
def test_a_dump_cut_off_gives_what_it_has_and_is_counted(read: Read, damage: Callable[[str], str]) -> None:
    text = damage(dump(*(page(f"A {number}", "Text.") for number in range(3))))
    articles, counts = read(text)
    assert len(articles) == text.count("</page>")
    assert counts == {CUT_OFF: 1}


def test_a_real_dump_in_utf_16(shared_data: Callable[[str], Path], read: Read) -> None:
    articles, counts = read(shared_data("dumps/bgwiki-latest-pages-articles-shortened.xml.bz2").read_bytes())
    assert [article.title for article in articles] == ["Григориански календар"]
    assert articles[0].paragraphs[0].startswith("Григорианският календар (понякога наричан и Грегориански")
    assert counts == {NO_ARTICLES: 2}


def test_tables_are_left_out(shared_data: Callable[[str], Path], read: Read) -> None:
    articles, _ = read(shared_data("dumps/enwiki-table-markup.xml.bz2").read_bytes())
    assert len(articles) == 5
    text = "\n".join(line for article in articles for line in article.paragraphs)
    assert "{|" not in text
    assert "|-" not in text


def test_what_is_no_xml_is_named_with_its_line(read: Read) -> None:
    with pytest.raises(DataError, match=r"dump\.xml: not the XML of a MediaWiki dump \(mismatched tag: line 2, column"):
        read("<mediawiki><page>\n</mediawiki>" + " " * 10_000)


def test_a_real_dump_whole_and_cut_off(shared_data: Callable[[str], Path], read: Read) -> None:
    data = shared_data("dumps/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2").read_bytes()
    whole, counts = read(data)
    assert counts == {REDIRECTS: 99, NO_ARTICLES: 1}
    # WikiExtractor's own command writes heads too, and understands no dump in UTF-16 or without site info.
    command = [sys.executable, "-m", "wikiextractor.WikiExtractor", "/dev/stdin", "--output", "-", "--json"]
    options = ["--no-templates", "--html-safe=", "--processes", "1"]
    written = subprocess.run([*command, *options], input=bz2.decompress(data), capture_output=True).stdout
    for line, article in zip(written.splitlines(), whole, strict=True):
        theirs = json.loads(line)
        assert theirs["title"] == article.title
        text = theirs["text"].replace(time.strftime("%Y"), "2020")  # {{CURRENTYEAR}}
        assert set(article.paragraphs) <= set(text.split("\n"))
    articles, counts = read(data[: len(data) // 2])
    assert 20 < len(articles) < len(whole)
    assert articles == whole[: len(articles)]
    assert counts[CUT_OFF] == 1


def test_a_page_that_goes_wrong_is_counted_and_the_next_ones_read(
    read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "wikitext.py"
    program.write_text(
        """import json, sys
for line in sys.stdin:
    print('["Text."]' if json.loads(line)["title"] == "B" else '{"error": "RecursionError"}', flush=True)
"""
    )
    monkeypatch.setattr(mediawiki, "__file__", str(program))
    articles, counts = read(dump(page("A", "Text."), page("B", "Text."), page("C", "Text.")))
    assert articles == [Article("B", ["Text."])]
    assert counts == {NOT_UNDERSTOOD: 2}


def test_a_page_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikitext, "LONGEST_WORK", 0.1)
    before = signal.getsignal(signal.SIGVTALRM)
    try:
        # WikiExtractor catches even what is no Exception, and goes on.
        answer = wikitext.answer(json.dumps({"title": "A", "text": "Text. {{#expr: 9**9**9**9}} " * 2}))
    finally:
        signal.signal(signal.SIGVTALRM, before)
    assert list(answer) == ["error"]


def test_the_text_of_a_page_does_not_depend_on_the_day(read: Read) -> None:
    articles, _ = read(dump(page("A", "Now it is {{CURRENTYEAR}}, and day {{CURRENTDAY}} of it.")))
    assert articles == [Article("A", ["Now it is 2020, and day 01 of it."])]
