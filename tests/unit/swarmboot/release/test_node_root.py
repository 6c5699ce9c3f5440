"""Which of a release's overlays one node gets, and what becomes of templates there."""

from __future__ import annotations

from swarmboot.release.node_overlay import Host, NodeFile, NodeOverlays
from swarmboot.release.node_root import NodeFacts, NodeRoot, node_root, secret_layers

MAC, OTHER = "52:54:00:12:34:56", "02:00:00:00:00:01"
LAYERS = ("default", "profile=gpu", "rack=r12", "name=web-1", "52-54-00-12-34-56")
FACTS = NodeFacts(macs=(OTHER, MAC), rack="r9", profile="gpu", address="10.0.0.9")


def overlays(*layers: str, hosts: dict[str, Host] | None = None, hostname: str = "") -> NodeOverlays:
    """Return overlays whose layers all bring /etc/motd, each with its own name in it."""
    return NodeOverlays({name: (NodeFile("etc/motd", data=name.encode()),) for name in layers}, hosts or {}, hostname)


def text(found: NodeRoot, path: str) -> str:
    return next(file.data.decode() for file in found.files if file.path == path)


def test_layers_go_over_one_another_the_most_particular_one_last() -> None:
    hosts = {MAC: Host("web-1", "r12")}
    for number, layer in enumerate(LAYERS, start=1):
        found = node_root(overlays(*LAYERS[:number], "rack=r9", "profile=web", hosts=hosts), FACTS)
        assert text(found, "etc/motd") == layer
        assert found.layers == LAYERS[:number]


def test_files_of_all_layers_are_there_together() -> None:
    layers = {
        "default": (NodeFile("etc/a"), NodeFile("etc/b")),
        "rack=r9": (NodeFile("etc/b", 0o755), NodeFile("etc/c")),
    }
    found = node_root(NodeOverlays(layers), FACTS)
    assert [(file.path, file.mode) for file in found.files] == [("etc/a", 0o644), ("etc/b", 0o755), ("etc/c", 0o644)]


def test_the_tables_words_win_over_what_a_node_says_of_itself() -> None:
    host = Host("web-1", "r12", "", "10.0.0.5", {"ROLE": "web"})
    template = "{hostname} {mac} {mac_dashes} {address} {rack} {profile}"
    layers = {"default": (NodeFile("etc/x", data=template.encode(), is_template=True),)}
    found = node_root(NodeOverlays(layers, {MAC: host}), FACTS)
    assert text(found, "etc/x") == "web-1 52:54:00:12:34:56 52-54-00-12-34-56 10.0.0.5 r12 gpu"
    assert (found.hostname, found.env, text(found, "etc/hostname")) == ("web-1", {"ROLE": "web"}, "web-1\n")
    assert text(node_root(NodeOverlays(layers), FACTS), "etc/x") == f" {MAC} 52-54-00-12-34-56 10.0.0.9 r9 gpu"


def test_any_of_a_machines_cards_may_be_the_one_in_the_table() -> None:
    assert node_root(overlays(hosts={OTHER: Host("web-2")}), FACTS).hostname == "web-2"
    both = {OTHER: Host("web-2"), MAC: Host("web-1")}
    assert node_root(overlays(hosts=both), FACTS).hostname == "web-1", "the card that it boots by"


def test_a_name_is_made_by_the_template_where_the_table_has_none() -> None:
    assert node_root(overlays(hostname="Node-{mac_dashes}"), FACTS).hostname == "node-52-54-00-12-34-56"
    assert node_root(overlays(hosts={MAC: Host("web-1")}, hostname="x"), FACTS).hostname == "web-1"


def test_a_name_that_no_host_may_have_is_left_out_and_said() -> None:
    found = node_root(overlays(hostname="{rack}-x"), NodeFacts((MAC,)))
    assert (found.hostname, found.files) == ("", ())
    assert found.notes == ("this node gets no name: '-x', of the template '{rack}-x', is no host name",)


def test_a_layers_own_host_name_is_not_written_over() -> None:
    layers = {"default": (NodeFile("etc/hostname", data=b"mine\n"),)}
    assert text(node_root(NodeOverlays(layers, {MAC: Host("web-1")}), FACTS), "etc/hostname") == "mine\n"


def test_a_value_that_nobody_knows_is_left_empty_and_said() -> None:
    layers = {"default": (NodeFile("etc/x", 0o755, b"rack={rack} {{}}\n", is_template=True),)}
    found = node_root(NodeOverlays(layers), NodeFacts((MAC,)))
    assert (text(found, "etc/x"), found.files[0].mode) == ("rack= {}\n", 0o755)
    assert found.notes == ("etc/x names rack, which nobody knows of this node: left empty",)


def test_a_rack_on_the_command_line_that_is_no_label_names_nothing() -> None:
    layers = {"default": (NodeFile("etc/x", data=b"[{rack}]", is_template=True),)}
    found = node_root(NodeOverlays(layers), NodeFacts((MAC,), rack="r1\nroot::0:0:::"))
    assert text(found, "etc/x") == "[]"


def test_an_address_with_a_scope_which_can_be_any_text_is_passed_over() -> None:
    layers = {"default": (NodeFile("etc/x", data=b"listen {address}", is_template=True),)}
    hostile = NodeFacts((MAC,), address="fe80::1%x\nPermitRootLogin yes")
    found = node_root(NodeOverlays(layers), hostile)
    assert (text(found, "etc/x"), found.values["address"]) == ("listen ", "")
    assert node_root(NodeOverlays(layers, {MAC: Host(address="10.0.0.5")}), hostile).values["address"] == "10.0.0.5"


def test_a_node_that_nothing_is_for_gets_nothing() -> None:
    found = node_root(overlays("rack=r1", hosts={OTHER: Host("x")}), NodeFacts((MAC,)))
    assert found == NodeRoot(values=found.values)


def test_secret_files_go_by_profile_and_machine_and_over_all_others() -> None:
    known = ("52-54-00-12-34-56", "default", "profile=gpu", "rack=r9", "02-00-00-00-00-02")
    assert secret_layers(known, FACTS) == ("default", "profile=gpu", "52-54-00-12-34-56")
    secret = NodeFile("etc/motd", 0o600, b"{hostname}", is_template=True)
    found = node_root(overlays(*LAYERS, hosts={MAC: Host("web-1")}), FACTS, (secret,))
    assert NodeFile("etc/motd", 0o600, b"web-1") in found.files
