"""The pages for contributors name what there is: files, functions, classes, records, and places in each other."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ROOT / "src" / "fillip"
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "glossary.md",
    DECISIONS / "README.md",
    *sorted((ROOT / "docs" / "contribute").glob("*.md")),
]

FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"((?:[\w.-]+/)+(?:[\w.-]+)?|[\w-]+\.md)(?::(\w+))?")
LONG_PATH = re.compile(r"(?<![\w/.])(?:src|tests|docs)/[\w./-]*\w")
NOUN = re.compile(r"^(?:class )?([A-Z]\w+)\b(?:[:(]| =)", re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def find_paths(text: str) -> set[tuple[str, str]]:
    """(path, name in that file or '') of each path in code, and of each one from the root that stands anywhere."""
    spans = [PATH.fullmatch(span) for span in CODE.findall(FENCE.sub("", text))]
    named = {(found[1], found[2] or "") for found in spans if found and not found[1].startswith("/")}
    return named | {(path, "") for path in LONG_PATH.findall(LINK.sub("", text))}


def exists(path: str, what: str, page: Path) -> bool:
    """Whether there is such a file or folder, from the root, in the product or beside the page, with `what` defined in it."""
    found = [base / path for base in (ROOT, PRODUCT, page.parent) if (base / path).exists()]
    defined = rf"^(?:async def |def |class )?{what}\b[ (:=]"
    return any(not what or re.search(defined, file.read_text(), re.MULTILINE) for file in found)


def list_anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_every_file_that_a_guide_names_is_there(page: Path) -> None:
    missing = [found for found in find_paths(page.read_text()) if not exists(*found, page)]
    assert sorted(missing) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if ":" not in link and not (target.exists() and (not anchor or anchor in list_anchors(target))):
            broken.append(link)
    assert broken == []


def test_every_class_of_the_glossary_is_one_of_the_code() -> None:
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    named = {word for row in rows for word in CODE.findall(row)}
    defined = {found for file in PRODUCT.rglob("*.py") for found in NOUN.findall(file.read_text())}
    assert len(named) > 50
    assert sorted(named - defined) == []


def test_the_index_of_decisions_has_every_record() -> None:
    index = (DECISIONS / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| \d{4}-\d\d-\d\d \| \[(.+?)\]\((.+?)\)", index, re.MULTILINE)
    records = {file.name: file.read_text().splitlines()[0] for file in DECISIONS.glob("0*.md")}
    assert {file: f"# {number}. {title}" for number, title, file in rows} == records


def test_a_path_is_told_from_other_code() -> None:
    text = (
        "`core/tenant.py:start_window`, `core/`, `make test`, `text/csv;x`, `README.md`; run tests/core/test_tenant.py."
    )
    assert find_paths(text) == {
        ("core/tenant.py", "start_window"),
        ("core/", ""),
        ("README.md", ""),
        ("tests/core/test_tenant.py", ""),
    }
    page = ROOT / "README.md"
    assert exists("core/tenant.py", "start_window", page)
    assert not exists("core/tenant.py", "start_windows", page)
    assert not exists("core/tenants.py", "", page)
