"""Refusals: one line each, a status each, and the status tells whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swarmboot import errors
from swarmboot.errors import SwarmbootError, refusal_in

FAMILIES = {
    errors.TrustError: range(10, 20),
    errors.TransferError: range(20, 30),
    errors.IntegrityError: range(30, 40),
    errors.SettingsError: range(40, 50),
    errors.ReleaseError: range(50, 60),
    errors.ResourceError: range(60, 70),
}


def kinds(of: type[SwarmbootError]) -> Iterator[type[SwarmbootError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_has_an_exit_status_of_its_own() -> None:
    # A private kind is caught where it is raised, or told as its parent.
    statuses = [kind.exit_status for kind in kinds(SwarmbootError) if not kind.__name__.startswith("_")]
    assert len(set(statuses)) == len(statuses)
    assert SwarmbootError.exit_status not in statuses


@pytest.mark.parametrize("family", FAMILIES)
def test_a_status_tells_the_family(family: type[SwarmbootError]) -> None:
    assert all(kind.exit_status in FAMILIES[family] for kind in (family, *kinds(family)))


def test_a_refusal_is_found_in_groups_of_groups_beside_other_errors() -> None:
    refusal = errors.SiteError("x")
    assert refusal_in(ExceptionGroup("a", [ValueError(), ExceptionGroup("b", [OSError(), refusal])])) is refusal
    assert refusal_in(refusal) is refusal
    assert refusal_in(ExceptionGroup("a", [ValueError()])) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (SwarmbootError("x is wrong"), "x is wrong"),
        (SwarmbootError("x", expected="1", found="2", hint="do y"), "x: expected 1, found 2; do y"),
        (SwarmbootError("x", found="2"), "x: found 2"),
        (SwarmbootError("a\x1b[2Jb", found="\udcff", hint="\u202ec"), r"a\x1b[2Jb: found \udcff; \u202ec"),
        (SwarmbootError("x", hint="do y"), "x; do y"),
        (SwarmbootError("x\ny", found="a\n  b"), "x y: found a b"),
    ],
)
def test_an_error_is_one_line_of_what_expected_found_and_what_to_do(error: SwarmbootError, line: str) -> None:
    assert str(error) == line


@pytest.mark.parametrize("module", ["libtorrent", "starlette.routing", "msgpack"])
def test_a_missing_package_is_one_line_with_what_brings_it(module: str) -> None:
    error = errors.missing_module(ModuleNotFoundError(name=module))
    assert str(error).startswith(f"{module.partition('.')[0]} is missing; apt-get install python3-")
    assert ("--system-site-packages" in str(error)) == (module == "libtorrent")


def test_a_missing_module_of_our_own_is_no_refusal() -> None:
    with pytest.raises(ModuleNotFoundError):
        errors.missing_module(ModuleNotFoundError(name="seeder.nowhere"))
