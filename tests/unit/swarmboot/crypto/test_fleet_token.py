"""The fleet token: its file, the proofs made with it and the settings sealed for it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import DecodeError
from swarmboot.crypto.fleet_token import (
    EXAMPLE,
    SECRET_FILES_MAX_BYTES,
    FleetProver,
    FleetToken,
    NodeProver,
    Proof,
    decode_credentials,
    encode_credentials,
    format_token,
    is_proved_by_fleet,
    is_proved_by_node,
    parse_proof,
    parse_tokens,
    read_tokens,
    seal,
    seal_files,
    unseal,
    unseal_files,
    write_token,
)
from swarmboot.errors import KeyFileError, ReleaseError, TokenError
from swarmboot.ids import NodeId

TOKEN, OTHER = FleetToken(os.urandom(32)), FleetToken(os.urandom(32))
NODE, STRANGER = NodeId(b"n" * 16), NodeId(b"s" * 16)
SHOWN, ANOTHER = b"c" * 32, b"d" * 32


def proved(header: str) -> Proof:
    proof = parse_proof(header)
    assert proof is not None
    return proof


def test_a_proof_is_good_for_one_node_path_body_and_server() -> None:
    proof = proved(NodeProver(NODE, TOKEN.key_of(NODE)).header("/announce", b"body", certificate=SHOWN))
    assert is_proved_by_node([TOKEN], proof, "/announce", b"body", certificate=SHOWN)
    assert is_proved_by_node([OTHER, TOKEN], proof, "/announce", b"body", certificate=SHOWN)
    assert not is_proved_by_node([TOKEN], proof, "/report", b"body", certificate=SHOWN)
    assert not is_proved_by_node([TOKEN], proof, "/announce", b"bodY", certificate=SHOWN)
    assert not is_proved_by_node([TOKEN], proof, "/announce", b"body", certificate=ANOTHER)
    assert not is_proved_by_node([OTHER], proof, "/announce", b"body", certificate=SHOWN)
    assert not is_proved_by_node([TOKEN], Proof(STRANGER, proof.code), "/announce", b"body", certificate=SHOWN)
    assert not is_proved_by_node([], proof, "/announce", b"body", certificate=SHOWN)


def test_the_key_of_a_node_proves_nothing_for_the_fleet_and_the_other_way_round() -> None:
    node = proved(NodeProver(NODE, TOKEN.key_of(NODE)).header("/secrets", b"", certificate=SHOWN))
    fleet = proved(FleetProver(TOKEN, NODE).header("/secrets", b"", certificate=SHOWN))
    assert is_proved_by_fleet([TOKEN], fleet, "/secrets", b"", certificate=SHOWN)
    assert not is_proved_by_fleet([TOKEN], node, "/secrets", b"", certificate=SHOWN)
    assert not is_proved_by_node([TOKEN], fleet, "/secrets", b"", certificate=SHOWN)


@given(path=st.text(max_size=8), body=st.binary(max_size=8), moved=st.integers(1, 4))
def test_bytes_cannot_wander_between_path_and_body(path: str, body: bytes, moved: int) -> None:
    proof = proved(FleetProver(TOKEN, NODE).header(path + "x" * moved, body, certificate=SHOWN))
    assert not is_proved_by_fleet([TOKEN], proof, path, b"x" * moved + body, certificate=SHOWN)


@given(st.text(max_size=120))
def test_no_header_of_another_form_is_a_proof(text: str) -> None:
    assert parse_proof(text) is None


@pytest.mark.parametrize("text", ["", "0" * 97, f"{'0' * 32}:{'0' * 64}\n", f"{'0' * 32}:{'G' * 64}"])
def test_almost_a_proof_is_none(text: str) -> None:
    assert parse_proof(text) is None


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=8))
def test_sealed_settings_are_the_same_bytes_again_and_open_for_each_token(env: dict[str, str]) -> None:
    sealed = seal([OTHER, TOKEN], env, fleet="f", profile="p")
    assert sealed == seal([OTHER, TOKEN], env, fleet="f", profile="p")
    assert unseal([TOKEN], sealed, fleet="f", profile="p") == env
    assert unseal([OTHER], sealed, fleet="f", profile="p") == env


@pytest.mark.parametrize(("fleet", "profile"), [("g", "p"), ("f", "q"), ("f", "")])
def test_settings_sealed_for_one_profile_are_not_anothers(fleet: str, profile: str) -> None:
    with pytest.raises(TokenError, match="altered"):
        unseal([TOKEN], seal([TOKEN], {"A": "b"}, fleet="f", profile="p"), fleet=fleet, profile=profile)


def test_settings_sealed_for_another_token_say_so() -> None:
    with pytest.raises(TokenError, match="sealed for another fleet token"):
        unseal([OTHER], seal([TOKEN], {"A": "b"}, fleet="f", profile=""), fleet="f", profile="")


@given(st.data())
def test_altered_seals_are_refused(data: st.DataObject) -> None:
    sealed = bytearray(seal([TOKEN], {"A": "secret"}, fleet="f", profile=""))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TokenError):
        unseal([TOKEN], bytes(sealed), fleet="f", profile="")


@given(st.binary(max_size=200))
def test_no_bytes_end_in_another_error(sealed: bytes) -> None:
    with pytest.raises(TokenError):
        unseal([TOKEN], sealed, fleet="f", profile="")


def test_other_settings_are_sealed_under_another_key_and_nothing_of_them_shows() -> None:
    first, second = (seal([TOKEN], {"A": value}, fleet="f", profile="") for value in ("secret-1", "secret-2"))
    assert b"secret" not in first
    assert first[-24:-16] != second[-24:-16]


def test_a_token_is_never_printed() -> None:
    assert TOKEN.secret.hex() not in repr(TOKEN)
    assert "secret" not in repr(TOKEN)
    assert "key" not in repr(NodeProver(NODE, b"k"))


def test_a_token_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "fleet.token"
    write_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_tokens(path)) == 1
    with pytest.raises(KeyFileError, match="is there already"):
        write_token(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="others may read"):
        read_tokens(path)


def test_what_systemd_gave_a_service_may_show_a_groups_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fleet_token"
    write_token(path)
    path.chmod(0o440)
    with pytest.raises(KeyFileError, match="others may read"):
        read_tokens(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert len(read_tokens(path)) == 1
    path.chmod(0o444)
    with pytest.raises(KeyFileError, match="others may read"):
        read_tokens(path)


def test_several_lines_are_several_tokens_in_order() -> None:
    text = f"# new\n{format_token(TOKEN.secret)}\n{format_token(OTHER.secret)}"
    assert parse_tokens(text, where="t") == (TOKEN, OTHER)


@pytest.mark.parametrize("secret", [EXAMPLE, bytes(32), b"ab" * 16, b"swarmbot" * 4, b"t" * 32])
def test_a_token_that_anybody_knows_is_never_taken(secret: bytes) -> None:
    with pytest.raises(KeyFileError, match="that everybody knows"):
        parse_tokens(format_token(secret), where="t")


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "swarmboot-token", "swarmboot-token !!", f"swarmboot-token {'A' * 40}", "a b c"],
)
def test_a_file_that_holds_no_usable_token_is_refused(text: str) -> None:
    with pytest.raises(KeyFileError):
        parse_tokens(text, where="t")


@pytest.mark.parametrize(
    "text",
    [format_token(TOKEN.secret) * 2, "".join(format_token(os.urandom(32)) for _ in range(9))],
    ids=["twice", "9"],
)
def test_a_file_with_one_token_twice_or_too_many_is_refused(text: str) -> None:
    with pytest.raises(KeyFileError):
        parse_tokens(text, where="t")


def test_a_refusal_never_shows_the_line() -> None:
    text = "swarmboot-token " + base64.b64encode(TOKEN.secret[:31]).decode()
    with pytest.raises(KeyFileError) as refusal:
        parse_tokens(text, where="t")
    assert text.split()[1] not in str(refusal.value)


def test_credentials_name_one_node_and_hold_no_token() -> None:
    text = encode_credentials(NODE, b"b" * 16, TOKEN)
    assert decode_credentials(text) == (NODE, b"b" * 16, NodeProver(NODE, TOKEN.key_of(NODE)))
    assert TOKEN.secret.hex() not in text
    assert decode_credentials("") is None


@given(st.binary(max_size=100))
def test_requests_in_private_are_decoded_or_refused(data: bytes) -> None:
    from swarmboot.wire import private

    for decode in (private.decode_secrets_wanted, private.decode_files_wanted, private.decode_files):
        try:
            decode(data)
        except DecodeError:
            continue


@pytest.mark.parametrize("path", ["/etc/x", "etc/../x", "..", "", "a//b", "a/./b", "a\nb", "a/", "x" * 600])
def test_a_node_file_has_a_plain_path(path: str) -> None:
    from swarmboot.wire import private

    with pytest.raises(DecodeError):
        private.decode_files(private.encode_files({path: (0o644, b"")}))


def test_a_layers_files_are_opened_as_that_layers_alone_and_bounded() -> None:
    tokens = (TOKEN,)
    sealed = seal_files(tokens, b"files", fleet="f", layer="default")
    assert unseal_files(tokens, sealed, fleet="f", layer="default") == b"files"
    for call in (
        lambda: unseal_files(tokens, sealed, fleet="f", layer="52-54-00-12-34-56"),
        lambda: unseal_files(tokens, sealed, fleet="g", layer="default"),
        lambda: unseal(tokens, sealed, fleet="f", profile="default"),
    ):
        with pytest.raises(TokenError):
            call()
    assert seal_files(tokens, bytes(SECRET_FILES_MAX_BYTES), fleet="f", layer="default")
    with pytest.raises(ReleaseError, match="the secret files of default are too large"):
        seal_files(tokens, bytes(SECRET_FILES_MAX_BYTES + 1), fleet="f", layer="default")
