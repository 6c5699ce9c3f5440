"""Where a build mounts what, in roots of several shapes."""

from __future__ import annotations

from seeder.plugin.places import kernel_of, landing, places
from seeder.publish.check.readers.tree import Inode

FOLDER = Inode("folder", 0o755)


def link(target: str) -> Inode:
    return Inode("link", target=target)


def test_a_link_is_followed_as_in_the_root() -> None:
    inodes = {"sbin": link("usr/sbin"), "usr": FOLDER, "usr/sbin": FOLDER, "a": link("/sbin/../x"), "o": link("o")}
    assert landing(inodes, "sbin/policy-rc.d") == "usr/sbin/policy-rc.d"
    assert landing(inodes, "a") == "x"
    assert landing({"usr": FOLDER, "usr/a": link("../../../etc/x")}, "usr/a") == "etc/x"
    assert landing(inodes, "o") == ""


def test_name_servers_that_a_service_would_write_lie_in_what_is_mounted() -> None:
    inodes = {"etc": FOLDER, "run": FOLDER, "etc/resolv.conf": link("../run/systemd/resolve/stub-resolv.conf")}
    found = places(inodes)
    assert found.resolver == "run/systemd/resolve/stub-resolv.conf"
    assert found.is_resolver_passing
    assert found.missing_files == ("usr/sbin/policy-rc.d",)


def test_what_the_build_puts_into_the_root_is_known() -> None:
    found = places({"etc": FOLDER, "proc": FOLDER, "var/run": link("/run"), "usr/sbin/policy-rc.d": Inode("file")})
    assert found.own == {"sys", "dev", "run", "tmp", "mnt", "etc", "etc/resolv.conf"}
    assert "var/tmp" not in found.folders


def test_the_one_kernel_of_a_root_is_found_through_its_links() -> None:
    inodes = {"lib": link("usr/lib"), "usr/lib/modules": FOLDER, "usr/lib/modules/6.1.0-9": FOLDER}
    inodes["usr/lib/modules/6.1.0-9/modules.dep"] = Inode("file")
    assert kernel_of(inodes) == "6.1.0-9"
    assert kernel_of({**inodes, "usr/lib/modules/6.2/x": Inode("file")}) == ""
