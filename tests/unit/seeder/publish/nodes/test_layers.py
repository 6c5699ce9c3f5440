"""The folder nodes/ of a release: what becomes a layer, and everything that is refused before it could reach a root."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from seeder.publish.nodes import layers as work
from seeder.publish.nodes.layers import by_machine, check_together, layer_notes, read_layers
from swarmboot.errors import EscapeError, ReleaseError, SwarmbootError
from swarmboot.release.manifest import MAX_NODE_SECRETS
from swarmboot.release.node_overlay import Host, NodeFile

LAYER = "52-54-00-12-34-56"


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    for layer in ("default", LAYER):
        (tmp_path / layer / "etc").mkdir(parents=True)
        (tmp_path / layer / "etc/motd").write_text(f"{layer}\n")
    return tmp_path


def test_files_links_and_programs_become_layers_in_order(nodes: Path) -> None:
    (nodes / "default/etc/issue.tmpl").write_text("{hostname}\n")
    (nodes / "default/etc/localtime").symlink_to("/usr/share/zoneinfo/UTC")
    (nodes / "default/root/.ssh").mkdir(parents=True)
    (nodes / "default/root/.ssh/authorized_keys").write_text("ssh-ed25519 AAAA\n")
    (nodes / "default/usr").mkdir()
    (nodes / "default/usr/tool").write_text("#!/bin/sh\n")
    (nodes / "default/usr/tool").chmod(0o700 | 0o004)
    (nodes / "hosts.csv").write_text("mac\n")
    (nodes / ".git").mkdir()
    found = read_layers(nodes)
    assert found.notes == []
    assert found.layers == {
        LAYER: (NodeFile("etc/motd", data=f"{LAYER}\n".encode()),),
        "default": (
            NodeFile("etc/issue", data=b"{hostname}\n", is_template=True),
            NodeFile("etc/localtime", target="/usr/share/zoneinfo/UTC"),
            NodeFile("etc/motd", data=b"default\n"),
            NodeFile("root/.ssh/authorized_keys", data=b"ssh-ed25519 AAAA\n"),
            NodeFile("usr/tool", 0o755, b"#!/bin/sh\n"),
        ),
    }


def _write(path: str, text: str = "x", mode: int = 0o644) -> Callable[[Path], None]:
    def make(nodes: Path) -> None:
        (nodes / path).parent.mkdir(parents=True, exist_ok=True)
        (nodes / path).write_text(text)
        (nodes / path).chmod(mode)

    return make


def _link(path: str, target: str) -> Callable[[Path], None]:
    def make(nodes: Path) -> None:
        (nodes / path).parent.mkdir(parents=True, exist_ok=True)
        (nodes / path).symlink_to(target)

    return make


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (_write("defualt/etc/x"), ReleaseError, "nodes/defualt is no layer of nodes' files.*did you mean default"),
        (_write("52:54:00:12:34:57/x"), ReleaseError, "52:54:00:12:34:57 is no layer.*as in 52-54-00-12-34-56"),
        (_write("rack=r1"), ReleaseError, "nodes/rack=r1 is no folder"),
        (_link("rack=r1", "default"), ReleaseError, "nodes/rack=r1 is no folder.*found a link"),
        (_link("default/etc/x", "../../../etc/shadow"), EscapeError, "default/etc/x is a link that leads out"),
        (_write("default/usr/su", mode=0o4755), ReleaseError, "default/usr/su is setuid or setgid"),
        (lambda nodes: os.mkfifo(nodes / "default/etc/p"), ReleaseError, "default/etc/p is no file, folder or link"),
        (_write("default/run/x"), ReleaseError, "default/run: nobody would see it, /run is mounted over"),
        (_write("default/etc/swarmboot/secret.env"), ReleaseError, "/etc/swarmboot is for secret settings"),
        (_write("default/etc/machine-id"), ReleaseError, "machines that share an identity"),
        (_write("default/var/lib/dbus/machine-id"), ReleaseError, "machines that share an identity"),
        (_write("default/etc/machine-id.tmpl"), ReleaseError, "machines that share an identity"),
        (_write("default/etc/x.tmpl", "\n{hosntame}"), ReleaseError, "x.tmpl, line 2: {hosntame} .*mean hostname"),
        (_write("default/etc/motd.tmpl"), ReleaseError, "etc/motd is there as a file and as a template"),
        (_write(os.fsdecode(b"default/etc/\xff")), ReleaseError, "a name that cannot be published"),
        (_write("default/etc/a\nb"), ReleaseError, "a name that cannot be published"),
    ],
)  # fmt: skip
def test_what_no_root_may_be_given_is_refused(
    nodes: Path, make: Callable[[Path], None], error: type[SwarmbootError], said: str
) -> None:
    make(nodes)
    with pytest.raises(error, match=f"(?s){said}"):
        read_layers(nodes)


def test_one_machine_may_have_an_identity_of_its_own(nodes: Path) -> None:
    _write(f"{LAYER}/etc/machine-id", "0123456789abcdef0123456789abcdef\n")(nodes)
    assert [file.path for file in read_layers(nodes).layers[LAYER]] == ["etc/machine-id", "etc/motd"]


def test_all_of_it_has_one_bound(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "OVERLAYS_MAX_BYTES", 100)
    _write("default/etc/a", "x" * 60)(nodes)
    read_layers(nodes)
    _write(f"{LAYER}/etc/b", "x" * 60)(nodes)
    with pytest.raises(ReleaseError, match=r"nodes' files are too large in all.*a plugin"):
        read_layers(nodes)


def test_what_looks_like_a_secret_is_noted(nodes: Path) -> None:
    _write("default/etc/token", mode=0o600)(nodes)
    _write("default/etc/ssh/key", "-----BEGIN OPENSSH PRIVATE KEY-----\n")(nodes)
    notes = read_layers(nodes).notes
    assert [note.split(",")[0] for note in notes] == [
        "nodes/default/etc/ssh/key is a private key",
        "nodes/default/etc/token is not for everybody",
    ]


def test_layers_that_nobody_gets_are_noted() -> None:
    layers = {"default": (), "profile=gup": (), "profile=web": (), "name=wbe-1": (), "rack=r1": ()}
    assert layer_notes(layers, {LAYER: Host("web-1")}, {"gpu", "web"}) == [
        "nodes/profile=gup: the release has no profile gup; did you mean gpu?",
        "nodes/name=wbe-1: nodes/hosts.csv has no host wbe-1; did you mean web-1?",
    ]


def test_secret_layers_go_by_machine_or_profile_and_are_their_owners_alone(nodes: Path) -> None:
    (nodes / "default/etc/motd").chmod(0o600)
    (nodes / LAYER / "etc/motd").chmod(0o744)
    found = read_layers(nodes, label="nodes.secret", is_secret=True)
    assert [files[0].mode for _, files in sorted(found.layers.items())] == [0o700, 0o600]
    assert found.notes == [f"everybody on this machine can read nodes.secret/{LAYER}/etc/motd: chmod 600 it"]
    (nodes / "rack=r1").mkdir()
    with pytest.raises(ReleaseError, match=r"nodes\.secret/rack=r1: secret files go by machine or profile"):
        read_layers(nodes, label="nodes.secret", is_secret=True)


def test_secret_layers_of_a_name_are_its_machines_whose_own_go_over_them() -> None:
    one, other, own = NodeFile("a", data=b"1"), NodeFile("b", data=b"2"), NodeFile("b", data=b"3")
    hosts = {"52:54:00:12:34:56": Host("web-1")}
    assert by_machine({"default": (one,), "name=web-1": (one, other)}, hosts) == {
        "default": (one,),
        LAYER: (one, other),
    }
    assert by_machine({LAYER: (own,), "name=web-1": (one, other)}, hosts) == {LAYER: (one, own)}
    with pytest.raises(ReleaseError, match=r"has no host wbe-1: did you mean web-1\?|wbe-1; did you mean web-1\?"):
        by_machine({"name=wbe-1": (one,)}, hosts)


@pytest.mark.parametrize("name", [".tmpl", "..tmpl", "...tmpl"])
@pytest.mark.parametrize("is_secret", [False, True])
def test_a_template_of_no_name_or_one_that_leads_up_is_refused(nodes: Path, name: str, is_secret: bool) -> None:
    (nodes / "default/etc" / name).write_text("x")
    with pytest.raises(ReleaseError, match="has a name that cannot be published"):
        read_layers(nodes, is_secret=is_secret)


def test_a_template_may_not_be_mounted_over_either(nodes: Path) -> None:
    (nodes / "default/run.tmpl").write_text("x")
    with pytest.raises(ReleaseError, match="/run is mounted over"):
        read_layers(nodes)


def test_a_file_that_is_a_folder_in_another_layer_is_refused_before_a_node_could_get_both() -> None:
    file, below = NodeFile("etc/app"), NodeFile("etc/app/conf")
    for public, secret in (({"default": (file,), LAYER: (below,)}, {}), ({"default": (file,)}, {"default": (below,)})):
        with pytest.raises(ReleaseError, match="etc/app is a file of default and a folder of "):
            check_together(public, secret)
    check_together({"default": (NodeFile("etc/app", target="/srv/app"), below), LAYER: (NodeFile("etc/apps"),)}, {})


def test_secret_files_for_more_machines_than_a_manifest_names_are_refused_before_any_is_sealed() -> None:
    layers = {f"02-00-00-00-{number >> 8:02x}-{number & 255:02x}": () for number in range(MAX_NODE_SECRETS + 1)}
    with pytest.raises(ReleaseError, match=r"nodes\.secret/ has secret files for too many"):
        by_machine(layers, {})
    layers.popitem()
    assert len(by_machine(layers, {})) == MAX_NODE_SECRETS
