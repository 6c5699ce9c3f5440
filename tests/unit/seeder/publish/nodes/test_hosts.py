"""The table of hosts as people and spreadsheets write it, and every row that is wrong, with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.publish.nodes.hosts import canonical_mac, hosts_text, parse_hosts
from swarmboot.release.node_overlay import Host

MAC = "52:54:00:12:34:56"
WEB = Host("web-1", "r12", "gpu", "10.0.0.5", {"ROLE": "web", "MOTD": "two words"})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_spreadsheets_write_is_understood(delimiter: str, end: str, mark: str) -> None:
    rows = (
        ("Name", "MAC", "profile", "address", "rack", "environment"),
        ("WEB-1", "52-54-00-12-34-56", "gpu", "10.0.0.5", "r12", "\"ROLE=web MOTD='two words'\""),
        ("", "", "", "", "", ""),
    )
    found = parse_hosts(mark + end.join(map(delimiter.join, rows)) + end, where="hosts.csv")
    assert (found.hosts, found.faults) == ({MAC: WEB}, ())


@pytest.mark.parametrize("text", ["52:54:00:12:34:56", "52-54-00-12-34-56", "5254.0012.3456", "525400123456 "])
def test_a_mac_address_may_be_written_in_each_usual_way(text: str) -> None:
    assert canonical_mac(text.upper()) == MAC


@pytest.mark.parametrize("scope", ["eth0", "x],y", "x]\ndhcp-option=6,192.0.2.1\n#"])
def test_an_address_brings_no_line_of_its_own_by_its_scope(scope: str) -> None:
    found = parse_hosts(f'mac,address\n{MAC},"fe80::1%{scope}"\n', where="h")
    assert found.hosts == {}
    assert "is none; expected as in 10.0.0.5, without a prefix or a scope" in found.faults[0]


@pytest.mark.parametrize("text", ["", "52:54:00:12:34", "52:54:00:12:34:5g", "01:00:5e:00:00:01", "00:00:00:00:00:00"])
def test_what_is_no_cards_address_is_none(text: str) -> None:
    assert canonical_mac(text) == ""


def test_every_wrong_row_is_said_with_its_line() -> None:
    text = f"""mac,name,rack,profile,address,environment
{MAC},web-1,r12,gpu,10.0.0.5,
52:54:00:12:34,web-2,,,,
52:54:00:12:34:58,web_3,,,,
52:54:00:12:34:59,web-4,a b,,,
52:54:00:12:34:60,web-5,,gup,,
52:54:00:12:34:61,web-6,,,10.0.0.0/24,
52:54:00:12:34:62,web-7,,,127.0.0.1,
52:54:00:12:34:63,web-8,,,,ROLE
52:54:00:12:34:64,web-9,,,,"A='"
{MAC},web-10,,,,
52:54:00:12:34:66,WEB-1,,,,
52:54:00:12:34:67,web-12,,,10.0.0.5,
52:54:00:12:34:68,web-13,,,,,,x
"""
    found = parse_hosts(text, where="h", profiles={"gpu"})
    assert list(found.hosts) == [MAC]
    assert [fault.removeprefix("h:") for fault in found.faults] == [
        "3: mac '52:54:00:12:34' is none; expected as in 52:54:00:12:34:56",
        "4: name 'web_3' is no host name; expected letters, digits and dashes",
        "5: rack 'a b' is none; expected letters, digits and ._:-",
        "6: profile gup is none of the release's; did you mean gpu?",
        "7: address '10.0.0.0/24' is none; expected as in 10.0.0.5, without a prefix or a scope",
        "8: address 127.0.0.1 is none that a node can have",
        "9: environment 'ROLE' is no KEY=value",
        "10: environment: No closing quotation",
        f"11: mac {MAC} stands in line 2 already",
        "12: name web-1 stands in line 2 already",
        "13: address 10.0.0.5 stands in line 2 already",
        "14: 8 cells, the header has 6: put quotes around a cell with a comma in it",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "h: no header; its first line names the columns: mac,name,rack,profile,address,environment"),
        (f"{MAC},web-1\n", f"h:1: the column '{MAC}' is none; known are mac,"),
        ("mac,nmae\n", "h:1: the column 'nmae' is none; did you mean name?"),
        ("name,rack\n", "h:1: no column mac"),
        ("mac,mac\n", "h:1: the column mac is there twice"),
        (f'mac,name\n{MAC},"web\n', "h:2: no table: unexpected end of data"),
    ],
)
def test_a_table_without_its_header_is_refused(text: str, said: str) -> None:
    assert parse_hosts(text, where="h").faults[0].startswith(said)


words = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
hosts = st.builds(
    Host,
    rack=words,
    profile=st.just("") | words,
    env=st.dictionaries(st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), st.text("a '\"$#,;=\\", max_size=8), max_size=3),
)


@given(st.dictionaries(st.integers(1, 1 << 40).map(lambda number: f"{number << 1:012x}"), hosts, max_size=4))
def test_a_table_that_was_written_is_read_back(by_digits: dict[str, Host]) -> None:
    by_mac = {canonical_mac(f"02{digits[2:]}"): host for digits, host in by_digits.items()}
    found = parse_hosts(hosts_text(by_mac), where="h")
    assert (found.hosts, found.faults) == (by_mac, ())
