"""release.toml: every key checked, a mistake named with its line."""

from __future__ import annotations

import pytest

from seeder.publish.release_toml import ReleaseSettings, check_plugins, parse_release_toml
from swarmboot.errors import ReleaseError
from swarmboot.release.manifest import Profile
from swarmboot.release.storage import Storage
from swarmboot.release.trust import parse_public
from tests.support.tree import DOCS

WHOLE = """
name = "debian-12"
cmdline = "quiet loglevel=3"
allow = ["setuid"]

[[profiles]]
name = "gpu"
macs = ["52-54-00-AB-CD-EF", "52:54:01:*"]
dmi = { sys_vendor = "ACME*" }
plugins = ["20-gpu.squashfs"]
env = { ROLE = "gpu" }
cmdline = "nomodeset"

[[profiles]]
name = "bare"
plugins = []

[[profiles]]
name = "rest"
"""


def parse(text: str) -> ReleaseSettings:
    return parse_release_toml(text, where="release.toml")


def test_every_key_arrives() -> None:
    assert parse(WHOLE) == ReleaseSettings(
        name="debian-12",
        cmdline="quiet loglevel=3",
        allow=("setuid",),
        profiles=(
            Profile(
                "gpu",
                macs=("52:54:00:ab:cd:ef", "52:54:01:*"),
                dmi={"sys_vendor": "ACME*"},
                plugins=("20-gpu.squashfs",),
                env={"ROLE": "gpu"},
                cmdline="nomodeset",
            ),
            Profile("bare", plugins=()),
            Profile("rest"),
        ),
    )


def test_an_empty_file_says_nothing() -> None:
    assert parse("") == ReleaseSettings()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '\nnmae = "x"\n',
            "release.toml:2: nmae is no key: expected one of allow, cmdline, hostname, lazy, name, profiles",
        ),
        ('name = "x"\n[extra]\n', "release.toml:2: extra is no key"),
        ('[[profiles]]\nname = "a"\nmac = ["x"]\n', "release.toml:3: profiles[1].mac is no key"),
        ("name = 1", "release.toml:1: name has the wrong value: expected text on one line"),
        ('name = "a\\nb"', "release.toml:1: name has the wrong value"),
        ('allow = "setuid"', "release.toml:1: allow has the wrong value: expected a list"),
        ('allow = ["Set UID"]', "release.toml:1: allow has the wrong value"),
        ("profiles = 1", "release.toml:1: profiles has the wrong value: expected tables"),
        ("profiles = [1]", "release.toml: profiles[1] is not a table"),
        (
            "[[profiles]]\n",
            "release.toml: profiles[1].name has the wrong value: expected a lower-case word, found nothing",
        ),
        ('name = "a"\n[[profiles]]\nname = "a"\n[[profiles]]\nname = "A"\n', "release.toml:5: profiles[2].name has"),
        ('name = "a"\n[[profiles]]\nname = "a"\n[profiles.env]\nA = 1', "release.toml:4: profiles[1].env has"),
        ('[[profiles]]\nmacs = []\n[[profiles]]\nname = "a"', "release.toml: profiles[1].name has"),
        ('[[profiles]]\n# name = "a"\nname = "A"', "release.toml:3: profiles[1].name has"),
        ('profiles = [{ name = "A" }]', "release.toml: profiles[1].name has the wrong value"),
        ('[[profiles]]\nname = "A b"', "release.toml:2: profiles[1].name has the wrong value"),
        ('[[profiles]]\nname = "a"\nmacs = ["nonsense"]', "release.toml:3: profiles[1].macs has the wrong value"),
        ('[[profiles]]\nname = "a"\nmacs = "52:54:00:*"', "release.toml:3: profiles[1].macs has the wrong value"),
        ('[[profiles]]\nname = "a"\nenv = { "A B" = "1" }', "release.toml:3: profiles[1].env has the wrong value"),
        ('[[profiles]]\nname = "a"\nenv = { A = 1 }', "release.toml:3: profiles[1].env has the wrong value"),
        ('[[profiles]]\nname = "a"\ndmi = { "../x" = "1" }', "release.toml:3: profiles[1].dmi has the wrong value"),
        ('[[profiles]]\nname = "a"\nplugins = [1]', "release.toml:3: profiles[1].plugins has the wrong value"),
        ('[[profiles]]\nname = "a"\n[[profiles]]\nname = "a"', "release.toml: two profiles are named a"),
        ("name = ", "release.toml is no TOML"),
        ('storage = "data"', "release.toml:1: storage has the wrong value: expected LABEL=NAME"),
        (
            'storage = "LABEL=data"\nstorage_at = "/usr"',
            "release.toml:2: storage_at has the wrong value: expected a folder",
        ),
        ('storage_at = "/srv"', "release.toml: storage has the wrong value: expected what to mount"),
        ('hostname = "node-{mac}"', "release.toml:1: hostname has the wrong value: expected letters, digits, dashes"),
        ('hostname = "a_b"', "release.toml:1: hostname has the wrong value: expected letters, digits, dashes"),
        (
            'hostname = "{rak}"',
            "release.toml:1: hostname has the wrong value: expected text and names of values; line 1:",
        ),
        ('hostname = "{hostname}"', "release.toml:1: hostname has the wrong value: expected text and names"),
    ],
)
def test_a_mistake_is_refused_with_its_key_and_line(text: str, line: str) -> None:
    with pytest.raises(ReleaseError) as refused:
        parse(text)
    assert str(refused.value).startswith(line)


def test_a_profile_that_names_a_missing_plugin_is_refused() -> None:
    profiles = (Profile("gpu", plugins=("a.squashfs", "c.squashfs")),)
    check_plugins(profiles, {"a.squashfs": 1, "c.squashfs": 1}, where="release.toml")
    with pytest.raises(ReleaseError, match=r"expected one of a\.squashfs, b\.squashfs, found c\.squashfs"):
        check_plugins(profiles, {"a.squashfs": 1, "b.squashfs": 1}, where="release.toml")


def test_the_example_in_the_documentation_is_a_good_one() -> None:
    page = (DOCS / "release.md").read_text()
    settings = parse(page.split("```toml\n")[1].split("```")[0])
    assert (settings.name, [profile.name for profile in settings.profiles]) == ("debian-12", ["gpu"])
    keys = "\n".join(
        line.strip() for line in page.splitlines() if line.startswith(("    threshold", "    swarmboot-ed"))
    )
    assert (len(parse_public(keys, where="docs").keys), parse_public(keys, where="docs").threshold) == (3, 2)


def test_lazy_is_a_kernel_argument_that_a_profile_may_take_back() -> None:
    text = 'cmdline = "quiet"\nlazy = true\n[[profiles]]\nname = "old"\nlazy = false\n[[profiles]]\nname = "new"\n'
    found = parse_release_toml(text, where="release.toml")
    assert found.cmdline == "quiet swarmboot.lazy=on"
    assert [profile.cmdline for profile in found.profiles] == ["swarmboot.lazy=off", ""]


def test_lazy_is_true_or_false() -> None:
    with pytest.raises(ReleaseError, match=r"release\.toml:1: lazy has the wrong value"):
        parse_release_toml('lazy = "on"\n', where="release.toml")


def test_zram_is_a_kernel_argument_that_a_profile_may_take_back() -> None:
    text = 'cmdline = "quiet"\nzram = "75%"\n[[profiles]]\nname = "large"\nzram = "off"\n[[profiles]]\nname = "new"\n'
    found = parse(text)
    assert found.cmdline == "quiet swarmboot.zram=75%"
    assert [profile.cmdline for profile in found.profiles] == ["swarmboot.zram=off", ""]


@pytest.mark.parametrize("value", ['"half"', "50", "true", '"300%"'])
def test_zram_is_off_or_a_size(value: str) -> None:
    with pytest.raises(ReleaseError, match=r"release\.toml:1: zram has the wrong value"):
        parse_release_toml(f"zram = {value}\n", where="release.toml")


def test_storage_and_the_template_of_names_are_read() -> None:
    found = parse(
        'hostname = "n-{mac_dashes}"\nstorage = "LABEL=data"\nstorage_at = "/data"\nstorage_missing = "stop"\n'
    )
    assert (found.hostname, found.storage) == ("n-{mac_dashes}", Storage("LABEL=data", "/data", is_needed=True))
    assert parse("").storage is None
