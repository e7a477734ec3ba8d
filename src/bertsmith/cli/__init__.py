"""The command line: verbs, their options from flags and TOML, and errors as one line."""

from bertsmith.cli.app import main

__all__ = ["main"]
