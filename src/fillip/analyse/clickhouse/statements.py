"""The statements of this folder."""

from pathlib import Path

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
"""By name, without the ending."""
