"""The folder of a run: who may write there, what is there, and what a resumed run finds.

config.json, model.safetensors, tokenizer.json ...   the checkpoint, once training has ended
metrics.json, report.html, README.md                 for people
log.jsonl, tensorboard/                              while it trains
.begun                                               the name of its training data; removed at the end
state/, state-refit/, state-2/ ...                   what --resume goes on from; removed at the end
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bertsmith.checkpoint import has_state, hold_folder, load_state, save_state
from bertsmith.checkpoint.folder import CONFIG
from bertsmith.corpus.manifest import MANIFEST
from bertsmith.errors import BertsmithError, OutputError, SettingsError
from bertsmith.files import write_text
from bertsmith.report.html import REPORT_NAME
from bertsmith.report.log import LOG_NAME, TENSORBOARD_NAME
from bertsmith.report.metrics import METRICS_NAME
from bertsmith.training import State

_BEGUN = ".begun"
_STATE = re.compile(r"state(-refit|-\d+)?")


class RunFolder:
    """A folder that one run owns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = False

    @property
    def holds_run(self) -> bool:
        """Whether a run, ended or not, has left files here."""
        return any((self.path / name).exists() for name in (LOG_NAME, CONFIG, METRICS_NAME))

    @property
    def trained_on(self) -> str | None:
        """The training data of the run that was last begun here, by its name; ``None`` where nothing tells it."""
        with suppress(OSError):
            return (self.path / _BEGUN).read_text(encoding="utf-8")
        try:
            metrics = json.loads((self.path / METRICS_NAME).read_text(encoding="utf-8"))
            return str(metrics["settings"]["train"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Raise `OutputError` where another run's files would be mixed with this one's."""
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: is a file; name a folder as --out")
        if (self.path / MANIFEST).exists():
            raise OutputError(f"{self.path}: holds a corpus, which a model must not be mixed with; name another --out")
        if resume and (self.path / METRICS_NAME).exists() and not self._has_state():
            raise OutputError(f"{self.path}: this run has ended, there is nothing to resume; see its {REPORT_NAME}")
        if resume and (self.path / CONFIG).exists() and not ((self.path / LOG_NAME).exists() or self._has_state()):
            raise OutputError(
                f"{self.path}: holds a model and no run that was stopped, there is nothing to resume; name another "
                f"--out, or give --overwrite to replace the model"
            )
        if self.holds_run and not (resume or overwrite):
            raise OutputError(
                f"{self.path}: holds a run already; give --resume to go on with it, --overwrite to replace it, "
                f"or another --out"
            )

    @contextmanager
    def held(self, *, resume: bool, overwrite: bool) -> Iterator[None]:
        """Hold the folder for this run. Raises `OutputError` as `check` does, and where a live process holds it.

        After an error that the user can put right, with no state to resume from, nothing of this run is left: neither
        its log, nor a folder that was made for it. The mended command then finds the place as the first one did.
        """
        if not self.path.is_dir():
            self.check(resume=resume, overwrite=overwrite)
        with hold_folder(self.path):
            self.check(resume=resume, overwrite=overwrite)
            try:
                yield
            except BertsmithError:
                if self._begun and not self._has_state():
                    self._forget_run()
                raise

    def begin(self, *, train: str, overwrite: bool) -> None:
        """Make room for the run's files: with ``overwrite`` the state and metrics of an earlier one go, its checkpoint
        stays until there is a new one.

        train: name of the training data, for `trained_on`
        """
        self._begun = True
        for part in self.path.glob(".*.part"):  # begun by `bertsmith.files.write_text` in a process that was killed
            part.unlink(missing_ok=True)
        if overwrite:
            self._forget_states()
            (self.path / METRICS_NAME).unlink(missing_ok=True)
        write_text(self.path / _BEGUN, train)

    def save_state(self, state: State, phase: str, identity: Mapping[str, Any]) -> None:
        """Keep the state of a phase; ``identity`` is what must be the same when it is resumed."""
        save_state(self.path / phase, state.tensors, {"progress": dict(state.values), "identity": dict(identity)})

    def load_state(
        self, phase: str, identity: Mapping[str, Any], adjustable: Set[str] = frozenset()
    ) -> tuple[State | None, list[str]]:
        """The state of a phase, or ``None`` when none was saved yet; and a line for each ``adjustable`` difference.

        Raises `SettingsError` naming what else differs between the run that was stopped and this one.
        """
        place = self.path / phase
        if not place.is_dir() or not has_state(place):
            return None, []
        saved = load_state(place)
        before = saved.values["identity"]
        changed = []
        for name, now in identity.items():
            if name in before and before[name] != now:
                if name in adjustable:
                    changed.append(f"note: {name} was {before[name]!r} when the run was stopped, and is {now!r} now")
                    continue
                raise SettingsError(
                    f"{self.path}: --resume: {name} was {before[name]!r} when the run was stopped, and is {now!r} now; "
                    f"give it as it was, or start anew with --overwrite"
                )
        return State(saved.tensors, saved.values["progress"]), changed

    def end(self) -> None:
        """Remove what only a resumed run needs."""
        self._forget_states()
        (self.path / _BEGUN).unlink(missing_ok=True)

    def _forget_states(self) -> None:
        for place in self._states():
            shutil.rmtree(place, ignore_errors=True)

    def has_state(self, phase: str) -> bool:
        """Whether a state of the phase was saved."""
        return has_state(self.path / phase)

    def _has_state(self) -> bool:
        return any(has_state(place) for place in self._states())

    def _states(self) -> list[Path]:
        return [place for place in self.path.glob("state*") if place.is_dir() and _STATE.fullmatch(place.name)]

    def _forget_run(self) -> None:
        for name in (LOG_NAME, _BEGUN):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / TENSORBOARD_NAME, ignore_errors=True)
