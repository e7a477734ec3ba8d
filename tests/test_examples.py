"""The examples run, and the commands in the documents are ones that the command line takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bertsmith

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "cola_tutorial.ipynb"


@pytest.fixture(scope="module")
def notebook() -> Any:
    """The notebook as it is in the repository."""
    nbformat = pytest.importorskip("nbformat", reason="the extra 'dev' is not installed (nbformat)")
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_runs_from_top_to_bottom(
    notebook: Any, shared_data: Callable[[str], Path], starter_folder: Path, tmp_path: Path
) -> None:
    client = pytest.importorskip("nbclient", reason="the extra 'dev' is not installed (nbclient)")
    nbformat = pytest.importorskip("nbformat")
    data, run = shared_data("cola/raw"), tmp_path / "run"
    slice_of_it = f"DATA, RUN, NUM_ROWS, EPOCHS = Path({str(data)!r}), Path({str(run)!r}), 300, 1"
    parameters = next(place for place, cell in enumerate(notebook.cells) if cell.source.startswith("import os"))
    notebook.cells.insert(parameters + 1, nbformat.v4.new_code_cell(slice_of_it))

    executed = client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))

    printed = _printed(executed)
    assert "300 sentences" in printed
    assert "2256, 2814, 2180, 1005, 1056, 4965, 2023, 4106, 1010, 2292, 2894, 1996, 2279, 2028, 2057, 16599" in printed
    assert "270 sentences to train on, 30 for validation" in printed
    assert "516 sentences, 354 acceptable" in printed
    assert "a BERT-base classifier has 201 tensors" in printed
    assert sum("image/png" in output.get("data", {}) for cell in executed.cells for output in _outputs(cell)) == 3
    told = float(re.search(r"MCC on all 516 sentences: (\S+)", printed)[1])  # type: ignore[index]
    columns = ["source", "label", "note", "sentence"]
    scores = bertsmith.load(run / "copy").evaluate(data / "out_of_domain_dev.tsv", columns=columns)
    assert told == pytest.approx(scores["mcc"], abs=5e-4)
    assert json.loads((run / "metrics.json").read_text())["settings"]["lr"] == 1e-4


def _outputs(cell: Any) -> list[Any]:
    return list(cell.get("outputs", []))


def _printed(notebook: Any) -> str:
    """What its cells wrote on standard output."""
    return "".join(output.get("text", "") for cell in notebook.cells for output in _outputs(cell))
