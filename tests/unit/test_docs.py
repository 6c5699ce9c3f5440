"""What the pages name exists: files, folders, modules, tests, decisions, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.tree import TREE

DECISIONS = TREE / "docs" / "decisions"
PARTS = "seeder|leecher|netsim|swarmboot|tests"
FOLDERS = rf"{PARTS}|docs|findings|initramfs-hook|\.ci"
PATH = re.compile(rf"(?<![\w./<-])((?:{FOLDERS})/[\w./-]*\w)((?:::\w+)*)")
BARE_FILE = re.compile(r"(?<![\w./:<*-])((?:[\w-]+/)*[\w-]+\.(?:py|sh))\b((?:::\w+)*)")
MORE_OF_THE_SAME = re.compile(r"(?<![\w./])(::\w+)")
TEST = re.compile(r"(?<![\w/.:])(test_\w+)\b(?!\.py)")
RUN_MODULE = re.compile(rf"-m ((?:{PARTS})(?:\.\w+)*)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
DEFINED = re.compile(r"^(?:\s*(?:async )?def |\s*class )?(\w+)(?=[(:\[ ])", re.MULTILINE)
DECISION = re.compile(r"decisions/(\d{4})(?![\w-])")


@cache
def tree() -> frozenset[str]:
    """Return every file and folder of the source, relative to its top."""
    files = [path for folder in FOLDERS.split("|") for path in (TREE / folder.replace("\\", "")).rglob("*")]
    files = [path for path in files if "__pycache__" not in path.parts]
    return frozenset(str(path.relative_to(TREE)) for path in [*files, *TREE.glob("*")])


@cache
def definitions(path: Path) -> frozenset[str]:
    """Return every function, class and variable that a module has, methods as well."""
    return frozenset(DEFINED.findall(path.read_text()))


@cache
def names_in_tests() -> frozenset[str]:
    """Return the name of every test function, class and module, and of every definition beside them."""
    modules = [TREE / name for name in tree() if re.fullmatch(r"tests/.*\.py", name)]
    return frozenset(path.stem for path in modules).union(*map(definitions, modules))


def is_there(path: str) -> bool:
    """Say if a path is one of the tree, or a decision's number in place of its page."""
    number = path.removeprefix("docs/decisions/")
    return path in tree() or (number != path and is_decision(number))


def is_decision(number: str) -> bool:
    """Say if a decision has a page, or is folded into one and has its line in the index."""
    has_line = f"| {number.lstrip('0')} |" in (DECISIONS / "README.md").read_text()
    return has_line or any(DECISIONS.glob(f"{number}-*.md"))


def lacks(path: str, names: str) -> Iterator[str]:
    """Yield each of the `::names` behind a path that is not defined in it."""
    for name in names.removeprefix("::").split("::") if names else []:
        if name not in definitions(TREE / path):
            yield f"{path}::{name}"


def missing_paths(line: str) -> Iterator[str]:
    """Yield what a line names by its path and is not there; `::name` alone is of the path before it."""
    last = ""
    for match in re.finditer(f"{PATH.pattern}|{MORE_OF_THE_SAME.pattern}", line):
        path, names = (match[1], match[2]) if match[1] else (last, match[3])
        last = path
        if not is_there(path):
            yield path
        elif path.endswith(".py"):
            yield from lacks(path, names)


def missing_words(line: str) -> Iterator[str]:
    """Yield what is not there of the files that a line names without their folder and the modules that it runs."""
    for path, names in BARE_FILE.findall(line):
        if path in tree():
            continue
        if not any(name == path or name.endswith(f"/{path}") for name in tree()):
            yield path
        elif names:
            yield f"{path}{names} (say its folder)"
    for module in RUN_MODULE.findall(line):
        path = module.replace(".", "/")
        if not {f"{path}.py", f"{path}/__main__.py"} & tree():
            yield f"-m {module}"


PAGES = sorted(
    page
    for page in [
        TREE / "README.md",
        TREE / "CONTRIBUTING.md",
        *(TREE / "docs").rglob("*.md"),
        TREE / "findings/README.md",
    ]
    if "measurements" not in page.parts  # they name what was there on their day
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TREE)))
def test_what_a_page_names_exists(page: Path) -> None:
    for number, line in enumerate(page.read_text().splitlines(), 1):
        missing = [*missing_paths(line), *missing_words(line)]
        if page.name != "threat-model.md":  # which names tests of the TUF suite
            missing += [name for name in TEST.findall(line) if name not in names_in_tests()]
        missing += [link for link in LINK.findall(line) if not (page.parent / link).exists()]
        assert not missing, f"{page.relative_to(TREE)}:{number}"


def test_every_decision_that_is_named_has_a_page_or_a_line_in_the_index() -> None:
    for name in sorted(tree()):
        if re.search(r"\.(py|sh|md|toml)$", name):
            unknown = [number for number in DECISION.findall((TREE / name).read_text()) if not is_decision(number)]
            assert not unknown, name


def test_the_index_of_decisions_has_every_page_with_its_title() -> None:
    index = (DECISIONS / "README.md").read_text()
    for page in sorted(DECISIONS.glob("0*.md")):
        number, title = page.read_text().splitlines()[0].removeprefix("# ").split(". ", 1)
        assert page.name.startswith(f"{int(number):04}-")
        assert f"| {number} | [{title}]({page.name}) |" in index


def test_the_rooms_of_the_architecture_hold_the_modules_that_it_names() -> None:
    rows = re.findall(
        rf"^\| `((?:{PARTS})/[\w/]+)` \| (.*) \|$", (TREE / "docs/architecture.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 15
    for room, text in rows:
        for module in re.findall(r"`(\w+)/?`", text):
            assert {f"{room}/{module}.py", f"{room}/{module}"} & tree(), f"{room}: {module}"
