"""Published tensors into a model.

Enters: a model and tensors by published name. Leaves: the model filled, and what did not fit. Decides nothing: which
differences are errors depends on what the model is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from bertsmith.checkpoint.names import from_published, to_published
from bertsmith.errors import CheckpointError
from bertsmith.model.heads import AnyHead


@dataclass(frozen=True)
class Mismatch:
    """A tensor that is there in another shape than the model's."""

    name: str
    expected: tuple[int, ...]
    found: tuple[int, ...]

    def __str__(self) -> str:
        return f"tensor {self.name!r} is {list(self.found)}, the model expects {list(self.expected)}"


@dataclass(frozen=True)
class Differences:
    """How a checkpoint's tensors and a model's differ, all by published name.

    missing:    the model has them, the checkpoint does not; they keep the values the model had
    unexpected: the checkpoint has them, the model does not; they are left out
    mismatched: both have them in different shapes; they keep the values the model had
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()

    @property
    def news(self) -> list[str]:
        """What a person should know of them, a line each."""
        lines = []
        if self.missing:
            lines.append(f"new weights: {', '.join(self.missing)}")
        if self.mismatched:
            lines.append(
                f"new weights, of another shape than in the checkpoint: "
                f"{', '.join(one.name for one in self.mismatched)}"
            )
        if self.unexpected:
            lines.append(f"not used from the checkpoint: {', '.join(self.unexpected)}")
        return lines

    def of_encoder(self) -> Differences:
        """The differences without those of pooler and head: what must hold for any use of a checkpoint."""

        def inside(name: str) -> bool:
            return name.startswith("bert.") and not name.startswith("bert.pooler.")

        return Differences(
            tuple(name for name in self.missing if inside(name)),
            tuple(name for name in self.unexpected if inside(name)),
            tuple(one for one in self.mismatched if inside(one.name)),
        )

    def but_pretraining(self) -> Differences:
        """The differences without the pooler and heads that pretraining leaves, of which an answer needs nothing."""
        unexpected = tuple(name for name in self.unexpected if not name.startswith(("bert.pooler.", "cls.")))
        return Differences(self.missing, unexpected, self.mismatched)

    def refuse(self, folder: Path) -> None:
        """Raise `CheckpointError` for tensors that are missing or of another shape, and for those of layers that the
        model does not have, naming the first."""
        if self.mismatched:
            raise CheckpointError(
                f"{folder}: {self.mismatched[0]}{_more(self.mismatched)}; config.json and the weights are not "
                f"of one model"
            )
        if self.missing:
            raise CheckpointError(
                f"{folder}: tensor {self.missing[0]!r} is missing{_more(self.missing)}; "
                f"the weights are incomplete, or of another kind of model"
            )
        strange = tuple(name for name in self.unexpected if name.startswith("bert.encoder."))
        if strange:
            raise CheckpointError(
                f"{folder}: the weights have {strange[0]!r}{_more(strange)}, the model of config.json has not; they "
                f"are not of one model"
            )


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], head: AnyHead | None) -> Differences:
    """Copy published tensors into ``model``, all that fit, and say what did not.

    model:   holds `encoder.…` and `head.…` parameters, or, where ``head`` is ``None``, maybe `pooler.…`
    weights: by published name, in any floating type; the model keeps its own
    """
    expected = to_published(model.state_dict(), head)
    missing = tuple(name for name in expected if name not in weights)
    unexpected = tuple(name for name in weights if name not in expected)
    mismatched = tuple(
        Mismatch(name, tuple(tensor.shape), tuple(weights[name].shape))
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    )
    unfit = {one.name for one in mismatched}
    filled = {
        name: weights[name] if name in weights and name not in unfit else tensor for name, tensor in expected.items()
    }
    model.load_state_dict(from_published(filled, head))
    return Differences(missing, unexpected, mismatched)


def _more(found: tuple[object, ...]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""
