"""What `--name` takes, and what it says to give in place of anything else."""

from __future__ import annotations

import pytest

from seeder.http.server_names import read_name, usable_names
from swarmboot.errors import MalformedSettingError


@pytest.mark.parametrize("name", ["boot", "boot.example", "10.0.0.1", "fd00::7", "*.example", "xn--mnchen-3ya.example"])
def test_a_host_is_taken_as_it_is(name: str) -> None:
    assert read_name(name) == name


@pytest.mark.parametrize(
    ("text", "give"),
    [
        ("https://boot.example", "boot.example"),
        ("https://boot.example:8470/site", "boot.example"),
        ("10.0.0.1:8470", "10.0.0.1"),
        ("[fd00::7]", "fd00::7"),
        ("[fd00::7]:8470", "fd00::7"),
        ("münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_what_is_no_host_alone_is_refused_with_what_to_give(text: str, give: str) -> None:
    with pytest.raises(MalformedSettingError, match=f"give --name {give}$"):
        read_name(text)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "10.0.0.256", "a..b", "https://", "x" * 300, "ü" * 300, "*.*.example"]
)
def test_what_no_host_can_be_read_from_is_refused(text: str) -> None:
    with pytest.raises(MalformedSettingError, match="--name is no host"):
        read_name(text)


def test_a_machine_whose_own_name_no_certificate_can_hold_does_without_it() -> None:
    assert usable_names(["10.0.0.1", "büro", "localhost", ""]) == ["10.0.0.1", "localhost"]
