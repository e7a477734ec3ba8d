"""Files of data sets on the Hugging Face hub.

Enters: an address, ``hf://datasets/OWNER/NAME[@REVISION]/path/in/the/data/set.tsv``. Leaves: the path of a local copy,
kept in the hub's own cache, so that a second read needs no network. Knows nothing of formats.
"""

from __future__ import annotations

import re

from bertsmith.errors import DataError

HUB = "hf://"

_ADDRESS = re.compile(r"hf://datasets/(?P<name>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<file>.+)")


def fetch(address: str) -> str:
    """The local copy of a hub file, downloaded unless the cache holds it.

    Raises `DataError` for an address of another form, a data set, revision or file that is not there or not open to
    this user, and a hub out of reach.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or "*" in address:
        raise DataError(f"{address}: not the address of one file; write hf://datasets/OWNER/NAME/path/to/file.parquet")
    # Imported here: it takes a while, and only addresses need it.
    from huggingface_hub import errors, hf_hub_download

    name, file, revision = match["name"], match["file"], match["revision"]
    try:
        path: str = hf_hub_download(name, file, revision=revision, repo_type="dataset")
    except errors.LocalEntryNotFoundError:
        raise DataError(
            f"{address}: the hub cannot be reached and its cache holds no copy; download the file where there is a "
            "network and give its path"
        ) from None
    except errors.RepositoryNotFoundError:
        raise DataError(
            f"{address}: no data set {name!r}, or it is not open to you; check the name, or log in with `hf auth login`"
        ) from None
    except (errors.EntryNotFoundError, errors.RevisionNotFoundError):
        raise DataError(
            f"{address}: the data set {name!r} has no file {file!r} at revision {revision or 'main'!r}; look at its "
            "files on the hub"
        ) from None
    except (OSError, errors.HFValidationError) as error:
        raise DataError(f"{address}: the hub refused ({str(error).splitlines()[0]}); check the address") from None
    return path
