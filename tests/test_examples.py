"""The notebook runs, and what the documents show is taken by the program: commands, data, options and messages."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import bertsmith
from bertsmith.cli.app import build, run
from bertsmith.settings import to_flat
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.tables import read
from bertsmith.tasks import Columns, task_named

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOK = PROJECT / "examples" / "cola_tutorial.ipynb"
GUIDE = PROJECT / "docs" / "finetuning.md"
DOCUMENTS = (
    GUIDE,
    *(
        PROJECT / "docs" / name
        for name in ("checkpoints.md", "embeddings.md", "README.md", "pretraining.md", "serving.md")
    ),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind it (``file=a.csv task=classify``), its text."""

    language: str
    facts: dict[str, str]
    text: str


def blocks(path: Path) -> list[Block]:
    found = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(language, dict(re.findall(r"(\w+)=(\S+)", rest)), text) for language, rest, text in found]


def commands(block: Block) -> list[str]:
    """The commands of a block, those of the shell around them left out."""
    joined = block.text.replace("\\\n", " ")
    return re.findall(r"^(?:\$ )?.*?\b(bertsmith (?!: )[^|#\n]*)", joined, re.MULTILINE)


DATA = [block for block in blocks(GUIDE) if "task" in block.facts]
COMMANDS = [command for path in DOCUMENTS for block in blocks(path) for command in commands(block)]


@pytest.fixture
def guide_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the files that the guide shows in it."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(GUIDE):
        if "file" in block.facts:
            Path(block.facts["file"]).write_text(block.text, encoding="utf-8")
    Path("recipes").symlink_to(PROJECT / "recipes")
    return tmp_path


def test_the_notebook_runs_from_top_to_bottom(
    shared_data: Callable[[str], Path], starter_folder: Path, tmp_path: Path
) -> None:
    client = pytest.importorskip("nbclient", reason="the extra 'dev' is not installed (nbclient)")
    nbformat = pytest.importorskip("nbformat", reason="the extra 'dev' is not installed (nbformat)")
    data, folder = shared_data("cola/raw"), tmp_path / "run"
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    a_slice = f"DATA, RUN, NUM_ROWS, EPOCHS = Path({str(data)!r}), Path({str(folder)!r}), 300, 1"
    parameters = next(place for place, cell in enumerate(notebook.cells) if cell.source.startswith("import os"))
    notebook.cells.insert(parameters + 1, nbformat.v4.new_code_cell(a_slice))

    executed = client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))

    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "300 sentences" in printed
    assert "2256, 2814, 2180, 1005, 1056, 4965, 2023, 4106, 1010, 2292, 2894, 1996, 2279, 2028, 2057, 16599" in printed
    assert "270 sentences to train on, 30 for validation" in printed
    assert "516 sentences, 354 acceptable" in printed
    assert "a BERT-base classifier has 201 tensors" in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    told = re.search(r"MCC on all 516 sentences: (\S+)", printed)
    assert told is not None
    columns = ["source", "label", "note", "sentence"]
    scores = bertsmith.load(folder / "copy").evaluate(data / "out_of_domain_dev.tsv", columns=columns)
    assert float(told[1]) == pytest.approx(scores["mcc"], abs=5e-4)
    assert json.loads((folder / "metrics.json").read_text())["settings"]["lr"] == 1e-4


def test_the_notebook_as_stored_has_run_to_its_end() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_takes_what_the_documents_show(command: str, guide_files: Path) -> None:
    build().parse_args(shlex.split(command)[1:], print_error=False, exit_on_error=False)


@pytest.mark.parametrize("block", DATA, ids=lambda block: block.facts["file"])
def test_the_data_of_the_guide_is_what_it_says(block: Block, guide_files: Path) -> None:
    names = block.facts["columns"].split(",") if "columns" in block.facts else None
    kind = task_named(block.facts["task"])
    examples = kind.read(read(block.facts["file"], columns=names), Columns())
    options = {name: True for name in block.facts.get("options", "").split(",") if name}
    kind.learn(examples, **options).check(examples)
    assert len(examples) >= 3


def test_the_guide_tells_every_option() -> None:
    known = {"--" + name.replace("_", "-") for name in to_flat(FinetuneSettings(train="", out=""))} | {"--config"}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", GUIDE.read_text(encoding="utf-8")))
    assert known <= told
    others = {"--data", "--json", "--predictions", "--question", "--context", "--prompt", "--ending", "--help"}
    assert told - known <= others


def test_the_messages_of_the_guide_are_in_the_code() -> None:
    _, _, after = GUIDE.read_text(encoding="utf-8").partition("| the message says |")
    messages = re.findall(r"^\| `([^`]+)` \|", after, re.MULTILINE)
    code = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "src").rglob("*.py"))
    assert len(messages) > 15
    assert [message for message in messages if message not in code] == []


def test_links_of_the_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            name, _, anchor = target.partition("#")
            place = path.parent / name if name else path
            assert place.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in map(_anchor, headings), target


def _anchor(heading: str) -> str:
    """As GitHub makes anchors of headings."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.slow
def test_the_commands_of_the_guide_run(guide_files: Path, starter_folder: Path) -> None:
    for block in blocks(GUIDE):
        for command in commands(block) if block.language == "sh" else []:
            assert run(shlex.split(command)[1:]) == 0, command
