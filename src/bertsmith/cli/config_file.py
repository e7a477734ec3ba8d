"""Options from a TOML file.

Enters: the options of a verb as far as the command line gave them. Leaves: the rest, from the file that ``--config``
names. Knows the file's form alone; what an option means is for the verb to know.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from bertsmith.errors import SettingsError, nearest

OPTION = "config"
# What ends training, by all its names: a flag among them is meant in place of the others.
_STOPS = {"epochs", "steps", "num_train_steps", "max_steps", "minutes", "tokens"}


def fill_from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give each option that the command line leaves open the value it has in the file of ``--config``, if any.

    Raises `SettingsError` for a file that is missing or not TOML, for a key that is no option of the verb, and for two
    keys that are the same one.
    """
    named = [token.value for argument in arguments if f"--{OPTION}" in argument.names for token in argument.tokens]
    if not named:
        return
    given = {_plain(name) for argument in arguments if argument.tokens for name in argument.names}
    names = [[name for name in one.names if name not in one.negatives] for one in arguments if one.parse]
    options = {_plain(name): flags[0] for flags in names for name in flags if name.startswith("--")}
    options.pop(OPTION, None)
    keys: dict[str, str] = {}
    values = {}
    for key, value in read_toml(named[-1]).items():
        if _plain(key) in _STOPS and given & _STOPS:
            continue
        if _plain(key) not in options:
            verb = " ".join(commands)
            raise SettingsError(f"{named[-1]}: {key!r} is no option of {verb}; {nearest(_plain(key), set(options))}")
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            # Tables in a row: flags win over what they say, too.
            won = given | _STOPS if given & _STOPS else given
            tables = [{name: one[name] for name in one if _plain(name) not in won} for one in value]
            value = json.dumps(tables)
        if isinstance(value, dict):
            raise SettingsError(f"{named[-1]}: [{key}] is a section; write the options of a verb side by side, without")
        option = options[_plain(key)].removeprefix("--")
        if option in keys:
            raise SettingsError(f"{named[-1]}: {keys[option]!r} and {key!r} are one option; give one of them")
        keys[option], values[option] = key, value
    Dict(values, source=named[-1], use_commands_as_keys=False)(app, commands, arguments)


def read_toml(path: str) -> dict[str, Any]:
    """What a TOML file holds. Raises `SettingsError` with the place of what is not TOML."""
    try:
        return tomllib.loads(Path(path).expanduser().read_bytes().decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"--config {path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"--config {path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"--config {path}: not TOML: {error}") from None


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")
