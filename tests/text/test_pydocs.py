"""The harvest of docstrings: sizes, no near-copies, readable texts, the right chapters."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bertsmith.errors import DataError
from bertsmith.tables import read, split
from bertsmith.text import pydocs
from bertsmith.text.pydocs import SOURCES, TOPICS, Docstring, harvest, opening

harvested = functools.cache(harvest)


def test_there_is_enough_of_every_topic() -> None:
    counts = Counter(one.topic for one in harvested())
    assert set(counts) == set(TOPICS)
    assert sum(counts.values()) > 4500
    assert min(counts.values()) > 100
    assert max(counts.values()) < 10 * min(counts.values())


def test_each_module_has_one_topic() -> None:
    modules = [module for names in TOPICS.values() for module in names.split()]
    assert len(modules) == len(set(modules))


def test_known_docstrings_are_there_under_their_chapter() -> None:
    by_name = {(one.module, one.name): one for one in harvested()}
    assert by_name["shutil", "copyfileobj"] == Docstring(
        "copy data from file-like object fsrc to file-like object fdst", "files", "shutil", "copyfileobj"
    )
    assert by_name["threading", "Thread.start"].topic == "concurrency"
    assert by_name["ipaddress", ""].topic == "internet"


def test_texts_are_running_text_of_bounded_length() -> None:
    for one in harvested():
        assert len(one.text) <= pydocs.LONGEST, one
        assert "\n" not in one.text
        assert ">>>" not in one.text
        assert len(one.text.split()) >= pydocs.FEWEST_WORDS, one


def test_no_test_modules_and_nothing_from_site_packages() -> None:
    for one in harvested():
        assert not {"test", "tests", "site-packages"} & set(one.module.split(".")), one
        assert one.module.split(".")[0] in TOPICS[one.topic].split()


def test_no_text_is_nearly_another_by_a_slow_comparison() -> None:
    """Every pair of a slice compared outright, without the index by runs."""
    some = [pydocs._runs(one.text) for one in harvested()[::7]]
    for place, runs in enumerate(some):
        for other in some[:place]:
            assert len(runs & other) < pydocs.SAME * min(len(runs), len(other))


def test_near_copies_are_dropped_and_the_first_is_kept() -> None:
    def doc(text: str) -> Docstring:
        return Docstring(text, "text", "m", "n")

    first = doc("Return True if the path is a symbolic link on this system.")
    near = doc("Return True if the path is a symbolic link on that system 2.")
    other = doc("Send a request to the server and wait for its reply.")
    assert pydocs._distinct([first, near, other, first]) == [first, other]


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        ("One line that says what it does.", "One line that says what it does."),
        ("Call the ``func`` with all *args*.\n\n    code = here\n", "Call the func with all args."),
        ("See base class.", ""),
        ("Internal function of this module only.", ""),
        ("f(x) -> y", ""),
        ("Return x, a y.", ""),
        ("wait(first=SOME_OTHER_NAME, second=None) does it", ""),
        ("a = [CFWS] *(b / c) [CFWS]", ""),
        (
            "f(x) -> y\n\nReturn the :class:`Thing` with number ``x``.\n\n>>> f(1)\n2\n\nMore after it.",
            "Return the Thing with number x.",
        ),
        ("First of all the words here.\n\nSecond.\n\n:param x: no", "First of all the words here. Second."),
        ("The first sentence stands alone. " + "And more words follow " * 30, "The first sentence stands alone."),
    ],
)
def test_opening(docstring: str, text: str) -> None:
    assert opening(docstring) == text


def test_as_a_table_by_name_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydocs, "harvest", harvested)  # the same harvest, made once for all tests
    table = read("pydocs", sources=SOURCES)
    assert table.names == ["text", "label", "module", "name"]
    assert len(table) == len(harvested())
    train, held = split(table.column("label"), 0.1, 0)
    texts = table.column("text")
    assert not {texts[row] for row in train} & {texts[row] for row in held}


def test_order_does_not_hang_on_the_hash_seed() -> None:
    """In another process, so with other hashes of strings; a few modules are enough."""
    script = (
        "from bertsmith.text import pydocs; pydocs.TOPICS = {'text': 'difflib textwrap', 'files': 'shutil tempfile'};"
        "print([(one.module, one.name, one.text) for one in pydocs.harvest()])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


def test_a_python_without_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DataError, match="no sources of the standard library here"):
        harvest()
