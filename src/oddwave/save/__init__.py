"""Save a result: every file is written beside its target and moved into place whole.

CSV and JSON are here; what needs more to be loaded is in files of its own: `xlsx`, `html` and `png`.
"""

from __future__ import annotations

from oddwave.save.csv import CsvWriter, to_csv
from oddwave.save.json import as_json, to_json
from oddwave.save.paths import FileId, Names, file_ids, need, place, protect, stem, target

__all__ = [
    "CsvWriter", "FileId", "Names", "as_json", "file_ids", "need", "place", "protect", "stem", "target", "to_csv",
    "to_json",
]  # fmt: skip
