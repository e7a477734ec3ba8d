"""Files to rows: reading tables in every common format, finding columns, checking and splitting examples."""

from bertsmith.tables.checks import Finding, check_examples
from bertsmith.tables.columns import find_column
from bertsmith.tables.read import read, read_texts
from bertsmith.tables.split import split
from bertsmith.tables.table import Table

__all__ = ["Finding", "Table", "check_examples", "find_column", "read", "read_texts", "split"]
