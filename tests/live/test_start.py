"""The pages of docs/start, each command copied from the page, on one running instance in any order."""

import random
import re
from pathlib import Path

import pytest

from fillip.app.up import Stack
from tests.live.docs_page import FIRST, START, follow, is_like, open_terminal, read_steps

pytestmark = pytest.mark.xdist_group("live")

PAGES = sorted(page.name for page in START.glob("*.md") if page.name != "README.md")
random.Random(7).shuffle(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_may_be_followed_as_it_stands(stack: Stack, tmp_path: Path, page: str) -> None:
    with open_terminal(stack, tmp_path) as terminal:
        follow(terminal, page)


def test_the_beginning_may_be_followed_again(stack: Stack, tmp_path: Path) -> None:
    """Whoever has made the tenant already, by this page or another way, gets a key all the same."""
    for terminal_number in range(2):
        folder = tmp_path / str(terminal_number)
        folder.mkdir()
        with open_terminal(stack, folder) as terminal:
            terminal.paste(read_steps(FIRST)[0].commands)
            assert "acme" in terminal.paste("call $API/v1/tenant | pick '[\"tenant_id\"]'")


def test_the_readme_makes_nothing_that_the_pages_make() -> None:
    readme = (START.parents[1] / "README.md").read_text()
    assert not re.search("tenants? create", readme)
    assert all(f"({page})" in (START / "README.md").read_text() for page in PAGES)


@pytest.mark.parametrize(
    ("shown", "came", "alike"),
    [
        ({"a": 1, "…": "…"}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": "…"}, {"a": 7}, True),
        ({"a": "HELLO-…"}, {"a": "HELLO-1"}, True),
        ({"a": "HELLO-…"}, {"a": "BYE-1"}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": 1}, {"a": True}, False),
    ],
)
def test_an_answer_is_compared_with_the_one_shown(shown: object, came: object, alike: bool) -> None:
    assert is_like(shown, came) == alike
