"""The playground in a real browser: what a person sees and does there, against the server's own answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("playwright.sync_api", reason="Playwright, of the extra 'dev', is not installed")

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from bertsmith.engine import TaskModel
from bertsmith.model import BertConfig
from bertsmith.tasks import Classify, Tag, Task
from bertsmith.training import choose_precision

from ..stages.indexes import Place
from ..tiny_models import TASKS, TINY_SHAPE, small_tokenizer
from .running import Running, running

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
if BROWSER is None:
    pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}", allow_module_level=True)

OPTIONS = ("no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync")
PATIENCE = 15_000  # milliseconds that what is expected may take
NAMES = {"classify": "Classify", "score": "Score", "entities": "Entities", "answer": "Answer", "choose": "Choose"}
NAMES |= {"fill": "Fill in", "similarity": "Similarity", "rerank": "Rerank", "search": "Search"}
NAMES |= {"attention": "Attention"}
RUDE = '<img src=x onerror="hacked=1">'
WIDE = "catdog" * 20
FACES = "🙂 Ada the sat 👩‍👩‍👧 <i>good ran Ada sat"  # signs that JavaScript counts as two characters and as eight
TEXTS = ["the cat sat on the mat", "a good day", "the dog ran in the park", RUDE]
RUDE_LABELS = (RUDE, "<b>bold</b> &amp; so on", WIDE)
INPUTS = {  # of every tab: wide, and with HTML where they are shown
    "classify": {"text": RUDE},
    "score": {"text": "the cat"},
    "entities": {"text": f"{WIDE} {FACES}"},
    "answer": {"question": "who sat", "context": f"{WIDE} the cat sat {RUDE}"},
    "choose": {"prompt": "the cat", "endings": RUDE},
    "fill": {"text": "the [MASK] sat on the [MASK] " + "a" * 40},
    "similarity": {"sentences": "\n".join([*TEXTS, *(f"the cat sat on a {'s' * size}" for size in range(9))])},
    "rerank": {"query": "who sat", "texts": "\n".join([*TEXTS, "s" * 40])},
    "search": {"query": RUDE},
    "attention": {"text": "the cat sat on the mat " * 10},
}

Visit = Callable[..., Page]
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=[f"--{option}" for option in OPTIONS])
        yield started
        started.close()


def write_task(task: Task, folder: Path) -> Path:
    tokenizer = small_tokenizer()
    size = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 64}
    model = task.build(BertConfig(initializer_range=0.6, **size, **TINY_SHAPE), torch.Generator().manual_seed(3))
    TaskModel(model, tokenizer, task, 64, choose_precision("fp32", torch.device("cpu"))).save(folder)
    return folder


@pytest.fixture(scope="module")
def server(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One of every task, of two models whose names and labels look like HTML, and of an index."""
    folder = tmp_path_factory.mktemp("playground")
    models = {name: model_folder(name) for name in [*TASKS, "fill"]}
    models["<i>rude</i>"] = write_task(Classify(labels=RUDE_LABELS, pairs=False), folder / "rude")
    places = Tag(labels=("O", "B-PER", "I-PER", "B-<b>LOC</b>", "I-<b>LOC</b>"))
    models["places"] = write_task(places, folder / "places")
    index = Place(folder, models["embed"])
    index.change(dict(enumerate([*TEXTS, "it was a sad film", "who is in the park", "a fine mat"])))
    with running(models, indexes={"idx": (index.index, "embed")}) as started:
        yield started


@pytest.fixture
def visit(browser: Browser, server: Running) -> Iterator[Visit]:
    """``visit("#search")`` opens the page in a browser that knows nothing yet. Whatever a test does there, the console
    has to stay empty, but for the statuses that are to be ``refused``, and no request may go elsewhere."""
    contexts: list[BrowserContext] = []
    heard, expected, strays = set(), set(), set()

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            status = re.search(r"the server responded with a status of (\d+)", message.text)
            heard.add(int(status[1]) if status else message.text)

    def open_page(link: str = "", at: Running = server, refused: int | None = None, **how: Any) -> Page:
        contexts.append(browser.new_context(**how))
        contexts[-1].set_default_timeout(PATIENCE)
        page = contexts[-1].new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: heard.add(str(error)))
        page.on("request", lambda request: request.url.startswith(f"{at.url}/") or strays.add(request.url))
        if refused:
            expected.add(refused)
        response = page.goto(f"{at.url}/{link}")
        assert response
        policy = response.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "connect-src 'self'", "img-src data:"} <= set(policy)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert (heard, strays) == (expected, set())


class Tab:
    """A tab of the page, used as a person would."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        self.panel = page.locator(f"#panel-{name}")
        self.handle = page.locator(f"#tab-{name}")
        self.alert, self.result = self.part("alert"), self.part("result")

    def part(self, name: str) -> Locator:
        return self.panel.locator(f"[data-part={name}]")

    def field(self, name: str) -> Locator:
        return self.page.locator(f"#{self.name}-{name}")

    def open(self) -> None:
        self.handle.click()
        expect(self.panel).to_be_visible()

    def choose(self, model: str) -> None:
        self.field("subject").select_option(model)

    def write(self, **values: str) -> None:
        for name, value in values.items():
            self.field(name).fill(value)

    def run(self, **values: str) -> None:
        """Run, which has to go well."""
        self.write(**values)
        self.part("run").click()
        self.expect_result()

    def expect_result(self) -> None:
        expect(self.part("status")).to_contain_text(re.compile(r"Took \d"))
        expect(self.alert).to_be_empty()
        expect(self.result).to_be_visible()

    def check_bars(self, bars: Mapping[str, float], strong: Sequence[str] | None = None, within: str = "") -> None:
        """Labels and their numbers, in this order, and bars as long as these say. The first stands out, unless others
        are ``strong``."""
        shown = self.result.locator(f"{within} .bars > li").evaluate_all(
            """items => items.map(item => [
                ...[".label", ".number"].map(part => item.querySelector(part).textContent),
                item.classList.contains("strong"),
                item.querySelector("i").offsetWidth / item.querySelector(".track").offsetWidth,
            ])"""
        )
        assert [one[:2] for one in shown] == [[label, f"{number:.3f}"] for label, number in bars.items()]
        assert [one[0] for one in shown if one[2]] == (list(bars)[:1] if strong is None else strong)
        np.testing.assert_allclose([one[3] for one in shown], list(bars.values()), atol=0.02)

    def check_cells(self, expected: np.ndarray) -> None:
        """The numbers of a heat map."""
        script = "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => Number(cell.textContent)))"
        shown = self.result.locator("table.heat tbody tr").evaluate_all(script)
        np.testing.assert_allclose(shown, expected, atol=0.00501)

    def pieces(self, box: str) -> list[list[str]]:
        """A text with marks: what is written, and the class of its mark."""
        script = "(box) => [...box.childNodes].map(node => [node.textContent, node.className ?? ''])"
        return self.result.locator(box).evaluate(script)  # type: ignore[no-any-return]


def scores(answer: list[dict[str, Any]]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in answer}


# The page


def test_every_tab_asks_and_shows(visit: Visit, server: Running) -> None:
    page = visit()
    expect(page.locator("#served")).to_have_text("12 models and 1 index, served by bertsmith.")
    expect(page.get_by_role("tab")).to_have_text(list(NAMES.values()))
    Tab(page, "classify").choose("<i>rude</i>")
    for name, title in NAMES.items():
        tab = Tab(page, name)
        tab.open()
        expect(page.get_by_role("tabpanel")).to_have_count(1)  # of those that are seen
        expect(page.get_by_role("tab", selected=True)).to_have_text(title)
        tab.run(**INPUTS[name])
        if any(RUDE in text for text in INPUTS[name].values()):
            expect(tab.result).to_contain_text(RUDE)
        tab.part("request").locator("summary").click()
        number = tab.part("facts").inner_text().rpartition("request ")[2]
        path = server.logged("request", id=number, status=200)["path"]
        expect(tab.part("command")).to_contain_text(f"{server.url}{path} ")
    expect(page.locator("main").locator("img, script, i:not(.track > i)")).to_have_count(0)
    assert page.evaluate("window.hacked") is None  # which the picture's script would have set


def test_it_fits_a_phone(visit: Visit) -> None:
    page = visit(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    width = "document.documentElement.scrollWidth"
    Tab(page, "classify").choose("<i>rude</i>")
    for name in NAMES:
        tab = Tab(page, name)
        tab.handle.tap()
        tab.run(**INPUTS[name])
        tab.part("request").locator("summary").tap()
        assert page.evaluate(width) == 360, name
    tab.field("view").select_option("Lines")
    assert page.evaluate(width) == 360


def test_dark_and_light(visit: Visit) -> None:
    colours = "() => ['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name])"
    canvas = "document.querySelector('canvas').toDataURL()"
    page = visit("#attention", color_scheme="light")
    Tab(page, "attention").run(text="the cat")
    drawn = page.evaluate(canvas)
    for scheme, sign in (("light", 1), ("dark", -1)):
        page.emulate_media(color_scheme=scheme)
        paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in page.evaluate(colours))
        assert sign * (paper - ink) > 400
    page.wait_for_function(f"drawn => {canvas} !== drawn", arg=drawn)  # what was drawn is drawn again


def test_a_link_to_a_tab(visit: Visit) -> None:
    page = visit("#rerank")
    for link, name in (("rerank", "rerank"), ("fill", "fill"), ("nix", "classify")):
        page.evaluate(f"location.hash = '{link}'")
        expect(page.locator(f"#panel-{name}")).to_be_visible()
        expect(page.get_by_role("tabpanel")).to_have_count(1)
        expect(page).to_have_title(f"{NAMES[name]} – bertsmith playground")
    Tab(page, "search").open()
    page.reload()
    expect(page.locator("#panel-search")).to_be_visible()


def test_the_keyboard_is_enough(visit: Visit, server: Running) -> None:
    page = visit()
    expect(page.locator("#tabs")).to_be_visible()
    press, focused = page.keyboard.press, page.locator(":focus")
    for _ in range(3):  # two links, then the tabs
        press("Tab")
    walk = (("ArrowRight", "score"), ("End", "attention"), ("ArrowRight", "classify"), ("ArrowLeft", "attention"))
    for key, name in (*walk, ("Home", "classify")):
        press(key)
        expect(focused).to_have_id(f"tab-{name}")
        expect(focused).to_have_css("outline-style", "solid")
        expect(page.locator(f"#panel-{name}")).to_be_visible()
    press("Tab")
    press("ArrowDown")  # from the first model to the second
    expect(focused).to_have_id("classify-subject")  # though the form is another
    for text in ("who sat", "the cat sat"):
        press("Tab")
        press("ControlOrMeta+a")
        page.keyboard.type(text)
    press("Control+Enter")
    tab = Tab(page, "classify")
    tab.expect_result()
    tab.check_bars(scores(server.post("/predict", {"model": "pairs", "inputs": [["who sat", "the cat sat"]]})[0]))
    page.keyboard.type(" on")
    press("Tab")
    press("Enter")  # on Run
    tab.expect_result()
    tab.check_bars(scores(server.post("/predict", {"model": "pairs", "inputs": [["who sat", "the cat sat on"]]})[0]))


# Labels and scores


def test_labels(visit: Visit, server: Running) -> None:
    tab = Tab(visit(), "classify")
    for model, texts in {"pairs": ["who sat", "the cat"], "classify": ["the cat"], "<i>rude</i>": [RUDE]}.items():
        tab.choose(model)
        expect(tab.result).to_be_hidden()  # for it is another model's
        expect(tab.field("pair")).to_have_count(len(texts) - 1)
        tab.run(**dict(zip(("text", "pair"), texts, strict=False)))
        tab.check_bars(scores(server.post("/predict", {"model": model, "inputs": [texts]})[0]))
    expect(tab.part("title")).to_have_text(f"{RUDE_LABELS[0]}, {RUDE_LABELS[1]} or {RUDE_LABELS[2]}")


def test_several_labels_at_once(visit: Visit, server: Running) -> None:
    tab = Tab(visit(), "classify")
    tab.choose("several")
    marked = set()
    for text in ("7 Ada the day mat", "in sat who where", "a good day"):
        tab.run(text=text)
        answer = scores(server.post("/predict", {"model": "several", "inputs": text}))
        bars = {f"✓ {label}" if score >= 0.5 else label: score for label, score in answer.items()}
        strong = [label for label, score in bars.items() if score >= 0.5]
        tab.check_bars(bars, strong)
        marked.add(len(strong))
    assert marked == {0, 1, 2}


def test_a_score(visit: Visit, server: Running) -> None:
    tab = Tab(visit("#score"), "score")
    for text in TEXTS:
        tab.run(text=text)
        (answer,) = server.post("/predict", {"model": "regress", "inputs": text})
        expect(tab.result).to_have_text(f"{answer['score']:.3f}")


# Words, questions, choices, masks


def test_entities(visit: Visit, server: Running) -> None:
    tab = Tab(visit("#entities"), "entities")
    tab.choose("places")
    tab.run(text=FACES)
    spans = server.post("/tag", {"model": "places", "inputs": FACES})[0]["spans"]
    assert {span["type"] for span in spans} == {"PER", "<b>LOC</b>"}
    pieces = tab.pieces(".reading")
    place = 0
    for span in spans:
        while pieces[0][1] == "":
            place += len(pieces.pop(0)[0])
        text, mark = pieces.pop(0)
        assert (place, text, mark) == (span["start"], FACES[span["start"] : span["end"]] + span["type"], "span")
        place = span["end"]
    assert pieces == [[FACES[place:], ""]]
    for name in ("PER", "<b>LOC</b>"):
        number = sum(span["type"] == name for span in spans)
        expect(tab.result.locator(".legend li").filter(has_text=name)).to_have_text(f"{name} {number}")


def test_an_answer_and_its_rivals(visit: Visit, server: Running) -> None:
    tab = Tab(visit("#answer"), "answer")
    question, context = "who sat", "👩‍👩‍👧 the cat sat on the mat"
    answer = server.post("/answer", {"question": question, "context": context})
    nbest = answer["nbest"]

    def check(name: str, span: dict[str, Any]) -> None:
        pieces = tab.pieces(".context")
        assert "".join(text for text, _ in pieces) == context
        marked = [place for place, (_, mark) in enumerate(pieces) if name in mark.split()]
        assert "".join(text for text, _ in pieces[: marked[0]]) == context[: span["start"]]
        assert "".join(pieces[place][0] for place in marked) == span["answer"]

    tab.run(question=question, context=context)
    expect(tab.result.locator(".figure")).to_have_text(f"{answer['answer']} {answer['probability']:.3f}")
    tab.check_bars({one["answer"]: one["probability"] for one in nbest})
    check("best", answer)
    for place in (1, 2, 0):
        button = tab.result.locator(".choice").nth(place)
        button.hover()
        check("rival", nbest[place])
        button.click()
        tab.handle.hover()
        check("rival", nbest[place])  # which a click keeps
        check("best", answer)
        expect(tab.result.locator("[aria-pressed=true]")).to_have_text(nbest[place]["answer"])
    button.click()
    tab.handle.hover()
    expect(tab.result.locator("mark.rival")).to_have_count(0)


def test_a_choice_among_endings(visit: Visit, server: Running) -> None:
    tab = Tab(visit("#choose"), "choose")
    endings = ["on the mat", "a dog", "it was bad", "in the park", "where the film ran"]
    fields = ["endings", *(f"endings-{place}" for place in range(2, 6))]

    def check(texts: list[str]) -> None:
        tab.run()
        answer = server.post("/choose", {"prompt": "the cat sat", "endings": texts})
        bars = dict(zip(texts, answer["probabilities"], strict=True))
        tab.check_bars(dict(sorted(bars.items(), key=lambda bar: -bar[1])), [answer["text"]])

    tab.write(prompt="the cat sat", **dict(zip(fields[:4], endings, strict=False)))
    tab.panel.get_by_role("button", name="Add an ending").click()
    tab.write(**{fields[4]: endings[4]})
    check(endings)
    tab.write(**{fields[1]: " "})
    check([endings[0], *endings[2:]])  # what is empty is left out
    tab.panel.get_by_role("button", name="Remove ending 3").click()
    check([endings[0], *endings[3:]])


def test_words_for_masks(visit: Visit, server: Running) -> None:
    tab = Tab(visit("#fill"), "fill")
    text = "the [MASK] sat on the [MASK]."
    answer = server.post("/fill", {"inputs": text, "top_k": 8})
    tab.run(text=text)
    for place, row in enumerate(answer, start=1):
        tab.check_bars({one["token"]: one["probability"] for one in row}, within=f".columns > :nth-child({place})")
    word = answer[0][0]["token"]
    end = next(one["token"] for one in answer[1] if one["token"].startswith("##"))  # goes on the word before
    for place, token, left in (
        (0, word, f"the {word} sat on the [MASK]."),
        (1, end, f"the {word} sat on the{end[2:]}."),
        (0, word, f"the [MASK] sat on the{end[2:]}."),  # taken back
    ):
        tab.result.get_by_role("list").nth(place).get_by_role("button", name=token, exact=True).click()
        expect(tab.field("text")).to_have_value(left)
        expect(tab.part("command")).to_contain_text(left)
    expect(tab.result.locator("[aria-pressed=true]")).to_have_text([end])
    tab.field("text").press("End")
    tab.panel.get_by_role("button", name="Insert [MASK]").click()
    expect(tab.field("text")).to_have_value(f"{left}[MASK]")
    expect(tab.result.locator("button:enabled")).to_have_count(0)  # they are of another text


# Vectors


def test_similarity(visit: Visit, server: Running) -> None:
    page = visit("#similarity")
    tab = Tab(page, "similarity")
    vectors = np.array(server.post("/embed", {"inputs": TEXTS}))
    cosines = vectors @ vectors.T
    tab.run(sentences="\n\n".join(TEXTS))
    tab.check_cells(cosines)
    row, column = np.unravel_index(np.argmax(np.triu(cosines, 1) - np.tri(4)), cosines.shape)
    expect(tab.result.locator("h3")).to_have_text(f"The closest pair: {cosines[row, column]:.3f}")
    expect(tab.result.locator(".closest li")).to_have_text([TEXTS[row], TEXTS[column]])
    tab.result.locator("tbody td").first.focus()
    for key, (row, column) in {"ArrowDown": (1, 0), "ArrowRight": (1, 1), "End": (1, 3)}.items():
        page.keyboard.press(key)
        told = f"{cosines[row, column]:.3f}: “{TEXTS[row]}” and “{TEXTS[column]}”"
        expect(tab.result.locator(".readout")).to_have_text(told)
    tab.result.locator("tbody td").nth(2).hover()
    expect(tab.result.locator(".readout")).to_contain_text(f"{cosines[0, 2]:.3f}: ")


def test_order_of_texts(visit: Visit, server: Running) -> None:
    tab = Tab(visit("#rerank"), "rerank")
    answer = server.post("/rerank", {"query": "who sat", "texts": TEXTS})
    assert [one["index"] for one in answer] != [0, 1, 2, 3]
    tab.run(query="who sat", texts="\n".join(TEXTS))
    tab.check_bars({TEXTS[one["index"]]: one["score"] for one in answer})


def test_search(visit: Visit, server: Running) -> None:
    tab = Tab(visit("#search"), "search")
    for query, top in (("who sat", 3), (RUDE, 50)):
        tab.run(query=query, top=str(top))
        found = server.post("/search", {"query": query, "top": top})
        assert len(found) == min(top, 7)
        tab.check_bars({f"{one['text']} {one['id']}": one["score"] for one in found})


def test_attention(visit: Visit, server: Running) -> None:
    page = visit("#attention")
    tab = Tab(page, "attention")
    answer = server.post("/attention", {"text": "the cat sat", "text_pair": "on a mat"})
    weights, tokens = np.array(answer["attentions"]), answer["tokens"]
    tab.run(text="the cat sat", pair="on a mat")
    expect(tab.result.locator("tbody th")).to_have_text(tokens)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))

    def check(layer: int, head: int) -> None:
        chosen = tab.result.locator("[role=gridcell][aria-selected=true]")
        expect(chosen).to_have_accessible_name(f"Layer {layer + 1}, head {head + 1}")
        expect(tab.field("layer")).to_have_value(str(layer + 1))
        expect(tab.field("head")).to_have_value(str(head + 1))
        tab.check_cells(weights[layer, head])

    check(0, 0)
    tab.field("layer").select_option("2")
    check(1, 0)
    tab.field("head").select_option("2")
    check(1, 1)
    tab.result.locator(".thumbnails [aria-selected=true]").focus()
    for key, place in {"ArrowLeft": (1, 0), "ArrowUp": (0, 0), "ArrowRight": (0, 1), "ArrowDown": (1, 1)}.items():
        page.keyboard.press(key)
        check(*place)
    tab.field("bare").check()
    plain = [place for place, token in enumerate(tokens) if token not in ("[CLS]", "[SEP]")]
    tab.check_cells(weights[1, 1][:, plain])
    tab.field("view").select_option("Lines")
    tab.result.locator(".lines .token").nth(2).hover()
    row = weights[1, 1, 2]
    most = sorted(plain, key=lambda place: -row[place])[:3]
    told = ", ".join(f"{tokens[place]} {row[place]:.3f}" for place in most)
    expect(tab.result.locator(".readout")).to_have_text(f"{tokens[2]} looks most at {told}")
    expect(tab.result.locator("g.on line")).to_have_count(int((row[plain] >= 0.02).sum()))
    assert sent == []


# What goes wrong


def test_a_text_that_is_too_long(visit: Visit, server: Running) -> None:
    page = visit(refused=413)
    tab, other = Tab(page, "classify"), Tab(page, "score")
    long = "the cat " * 40
    status, told = server.refused("/predict", {"inputs": long})
    assert status == 413
    tab.run(text="a good day")
    tab.write(text=long)
    tab.part("run").click()
    expect(tab.panel.get_by_role("alert")).to_have_text(told)
    expect(tab.result).to_be_hidden()  # it was of another text
    other.open()
    expect(other.alert).to_be_empty()
    other.run(text="a good day")
    tab.open()
    expect(tab.alert).to_have_text(told)
    tab.run(text="the cat")
    tab.check_bars(scores(server.post("/predict", {"inputs": "the cat"})))


def test_what_is_not_even_asked(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#tabs")).to_be_visible()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    for name, values, told in (
        ("classify", {"text": " "}, "“Text” is empty."),
        ("choose", {"endings": "", "endings-2": "", "endings-3": " "}, "Give two endings or more."),
        ("fill", {"text": "the cat"}, "There is no [MASK] in the text."),
        ("similarity", {"sentences": "one\n\n"}, "Give two sentences or more, one a line."),
    ):
        tab = Tab(page, name)
        tab.open()
        tab.write(**values)
        tab.part("run").click()
        expect(tab.alert).to_have_text(told)
    assert sent == []


def test_a_queue_that_is_full(visit: Visit, server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    tab = Tab(visit(refused=429), "classify")
    with monkeypatch.context() as patched:
        batcher = server.service.models["classify"].batcher
        patched.setattr(batcher, "speed", 20.0)
        patched.setattr(batcher, "promised", 140)  # is 7 seconds of work, and 5 may be waited
        tab.write(text="the cat")
        tab.part("run").click()
        told = "overloaded: a request would wait 7.0 seconds, and 5 is the limit. Try again in 5 seconds."
        expect(tab.alert).to_have_text(told)
    tab.run()


def test_a_run_that_takes_long(visit: Visit, server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    tab = Tab(visit(), "classify")
    engine, free = server.service.models["classify"].batcher.engine, threading.Event()
    outputs = engine.outputs
    monkeypatch.setattr(engine, "outputs", lambda sequences: free.wait() and outputs(sequences))
    try:
        tab.write(text="the cat sat on the mat")
        tab.part("run").click()
        expect(tab.panel).to_have_class("busy")
        expect(tab.part("run")).to_have_text("Running…")
        tab.write(text="a good day")
        tab.field("text").press("Control+Enter")  # instead of the first
        server.logged("request", path="/predict", status=499)
    finally:
        free.set()
    tab.expect_result()
    expect(tab.panel).not_to_have_class("busy")
    tab.check_bars(scores(server.post("/predict", {"inputs": "a good day"})))


# The request, and keys


def run_command(tab: Tab, **environment: str) -> Any:
    """What the command under "The request" prints in a shell."""
    if not shutil.which("curl"):
        return None
    words = ["sh", "-c", tab.part("command").text_content() or ""]
    done = subprocess.run(words, capture_output=True, check=True, timeout=30, env={**os.environ, **environment})
    return json.loads(done.stdout)


def test_the_same_request_for_a_shell(visit: Visit, server: Running) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    tab = Tab(page, "classify")
    text = """it's "the" $HOME `cat` \\n 🙂"""
    tab.choose("several")
    tab.write(text=text)
    tab.part("request").locator("summary").click()
    tab.part("copy").click()
    expect(tab.part("copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == tab.part("command").text_content()
    given = run_command(tab)
    assert given is None or given == server.post("/predict", {"model": "several", "inputs": text})


def test_a_server_with_keys(visit: Visit, model_folder: Folder) -> None:
    with running({"embed": model_folder("embed")}, keys=("sesame",)) as guarded:
        page = visit(at=guarded, refused=401)
        tab, key, alert = Tab(page, "similarity"), page.get_by_label("API key"), page.locator("#page-alert")
        vectors = np.array(guarded.post("/embed", {"inputs": TEXTS}, headers={"authorization": "Bearer sesame"}))

        def give(text: str) -> None:
            expect(key).to_be_focused()
            page.keyboard.type(text)
            page.keyboard.press("Enter")

        expect(alert).to_be_empty()
        give("simsalabim")
        expect(alert).to_have_text("The server does not accept this API key.")
        expect(page.locator("#tabs")).to_be_hidden()
        give("sesame")
        expect(key).to_be_hidden()
        expect(alert).to_be_empty()
        expect(page.get_by_role("tab")).to_have_text(["Similarity", "Attention"])
        tab.write(sentences="\n".join(TEXTS))
        with page.expect_request("**/embed") as asked:
            tab.run()
        assert asked.value.headers["authorization"] == "Bearer sesame"
        tab.check_cells(vectors @ vectors.T)
        given = run_command(tab, API_KEY="sesame")
        assert given is None or np.allclose(given, vectors, atol=1e-5)
        assert "sesame" not in page.content()
        page.reload()
        expect(tab.panel).to_be_visible()  # the key is kept
        page.evaluate("sessionStorage.clear()")
        tab.part("run").click()
        expect(tab.alert).to_contain_text("this server needs an API key")
        give("sesame")
        expect(key).to_be_hidden()
        tab.run(sentences="\n".join(TEXTS))
