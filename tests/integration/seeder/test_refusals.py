"""What the seeder refuses, to whoever starts it and to whoever asks it; and that it ends as it is told."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from swarmboot.errors import (
    MalformedSettingError,
    PortInUseError,
)
from tests.support.loopback import (
    Fleet,
    asking,
    booting,
    program,
    serving,
)
from tests.support.refusals import check_refusal


def test_a_port_in_use_is_named_by_the_seeder(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = program("swarmboot", "serve", fleet.site, "--listen", f"127.0.0.1:{port}", "--state", fleet.folder / "s")
        check_refusal(done.returncode, done.stderr, PortInUseError, str(port), "taken", "--listen")


def test_something_that_is_no_site_is_not_served(tmp_path: Path) -> None:
    done = program("swarmboot", "serve", tmp_path)
    assert done.returncode == 56
    assert "not a published site" in done.stderr


def test_a_certificate_without_its_key_is_refused(fleet: Fleet) -> None:
    done = program("swarmboot", "serve", fleet.site, "--tls-cert", fleet.pub)
    check_refusal(done.returncode, done.stderr, MalformedSettingError, "--tls-key")


def test_a_channel_that_is_not_there_is_answered_with_those_that_are_and_the_node_says_so(
    fleet: Fleet, tmp_path: Path
) -> None:
    with (
        serving(fleet) as seeder,
        booting(tmp_path, 1, *asking(seeder, fleet), "--timeout=2s", "--channel=edgy") as node,
    ):
        _, said = node.end()
    assert "found 404: no such channel; this site has stable; check the address" in said


def test_the_first_lines_say_what_is_served_where_and_until_when(fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        seeder.wait_for_line("the first to end is manifest ")
        served, listening, *others = seeder.lines
        assert re.fullmatch(
            rf"serving {re.escape(str(fleet.site))}, manifests 1: channel stable is .* \(manifest 1\)", served
        )
        assert listening.startswith(f"listening on {seeder.address}, uplink ")
        assert (
            f"how it goes: {seeder.address}/ui/, swarmboot status; figures for Prometheus: {seeder.address}/metrics"
            in others
        )
        assert f"nodes need the authority's certificate {seeder.ca} (--ca)" in others


def test_the_log_is_json_where_that_is_asked_for(fleet: Fleet) -> None:
    with serving(fleet, "--log-format", "json") as seeder:
        assert {"time", "level", "message"} == json.loads(seeder.lines[0]).keys()


def test_ctrl_c_stops_the_seeder_cleanly(fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        seeder.process.send_signal(signal.SIGINT)
        assert seeder.process.wait(timeout=20) == 0, "\n".join(seeder.lines)
    assert "Traceback" not in "\n".join(seeder.lines)


def test_malformed_announces_are_refused_and_harm_nobody(tmp_path: Path, fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        context = ssl.create_default_context(cafile=str(seeder.ca))
        for body in (b"", b"\xc1", b"\x80", os.urandom(300), bytes(2_000_000)):
            request = urllib.request.Request(f"{seeder.address}/announce", data=body, method="POST")
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(request, context=context, timeout=20)
            assert refusal.value.code in (400, 413)
            refusal.value.close()
        with booting(tmp_path, 1, *asking(seeder, fleet)) as node:
            assert node.end()[0] == 0


def test_the_seeder_serves_nothing_but_the_site(fleet: Fleet) -> None:
    with serving(fleet) as seeder:
        context = ssl.create_default_context(cafile=str(seeder.ca))
        for path in (
            "/blobs/..%2f..%2fkeys%2fswarmboot.key",
            "/.lock",
            "/blobs/",
            "/channels/../../keys/swarmboot.key",
        ):
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(f"{seeder.address}{path}", context=context, timeout=20)
            assert refusal.value.code == 404
            refusal.value.close()
