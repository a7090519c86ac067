"""The contract of the reports is committed: a change of it is seen in review."""

import json
from pathlib import Path

from fillip.analyse.openapi import describe_reports

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi-reports.json"


def test_the_committed_contract_is_the_one_served():
    """To write it anew: python tests/analyse/test_reports_openapi.py"""
    assert json.loads(COMMITTED.read_text()) == describe_reports()


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(describe_reports(), indent=1, sort_keys=True) + "\n")
