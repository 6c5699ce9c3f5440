"""Who may say what a node boots: every way in which they may not."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import pack, unpack
from swarmboot.errors import (
    ExpiredError,
    KeyFileError,
    ManifestError,
    RollbackError,
    SignatureError,
    ThresholdError,
    TrustError,
)
from swarmboot.ids import Sequence
from swarmboot.release import freshness, trust
from swarmboot.release.trust import Channel, Kind
from tests.support.builders import NOW_UNIX_S, build_key, build_key_set, build_keys, build_manifest

PAYLOAD = b"what is signed"
RFC_8032_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def signed(*seeds: int, kind: Kind = Kind.MANIFEST, payload: bytes = PAYLOAD) -> bytes:
    return trust.sign(kind, payload, build_keys(*seeds))


def rotation(keys: trust.KeySet, *seeds: int) -> bytes:
    return signed(*seeds, kind=Kind.KEYS, payload=trust.encode_key_set(keys))


def test_a_payload_signed_by_the_trusted_key_is_returned() -> None:
    assert trust.verify(signed(1), Kind.MANIFEST, build_key_set(1)) == PAYLOAD


def test_signatures_by_strangers_beside_the_trusted_one_do_no_harm() -> None:
    assert trust.verify(signed(1, 8, 9), Kind.MANIFEST, build_key_set(1)) == PAYLOAD


def test_a_wrong_key_is_not_enough_and_the_message_names_both() -> None:
    trusted, stranger = build_key_set(1), build_key_set(2)
    with pytest.raises(ThresholdError) as refused:
        trust.verify(signed(2), Kind.MANIFEST, trusted)
    (wanted,), (found,) = trusted.keys, stranger.keys
    assert wanted.hex()[:16] in refused.value.expected
    assert found.hex()[:16] in refused.value.found


def test_an_unsigned_payload_is_refused() -> None:
    with pytest.raises(ThresholdError, match="signed by nobody"):
        trust.verify(signed(), Kind.MANIFEST, build_key_set(1))


@pytest.mark.parametrize("seeds", [(1, 2), (1, 3), (2, 3), (1, 2, 3)])
def test_any_two_of_three_keys_reach_a_threshold_of_two(seeds: tuple[int, ...]) -> None:
    assert trust.verify(signed(*seeds), Kind.MANIFEST, build_key_set(1, 2, 3, threshold=2)) == PAYLOAD


@pytest.mark.parametrize("seeds", [(), (1,), (3,), (1, 4), (1, 1)])
def test_fewer_do_not(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ThresholdError):
        trust.verify(signed(*seeds), Kind.MANIFEST, build_key_set(1, 2, 3, threshold=2))


def test_one_key_listed_twice_counts_once() -> None:
    public = trust.public_bytes(build_key(1))
    with pytest.raises(KeyFileError, match="the threshold cannot be met"):
        trust.key_set([public, public], threshold=2)


def test_altered_bytes_under_a_trusted_signature_are_named_as_such() -> None:
    envelope = unpack(signed(1), max_bytes=1 << 20)
    with pytest.raises(SignatureError):
        trust.verify(pack({**envelope, "payload": b"something else"}), Kind.MANIFEST, build_key_set(1))


def test_a_signature_moved_to_another_trusted_key_is_refused() -> None:
    envelope = unpack(signed(1), max_bytes=1 << 20)
    (signature,) = envelope["signatures"].values()
    other = trust.key_id(trust.public_bytes(build_key(2)))
    moved = pack({**envelope, "signatures": {bytes(other): signature}})
    with pytest.raises(SignatureError):
        trust.verify(moved, Kind.MANIFEST, build_key_set(1, 2))


@pytest.mark.parametrize("size_bytes", [0, 1, 63])
def test_a_signature_of_the_wrong_length_is_refused(size_bytes: int) -> None:
    envelope = unpack(signed(1), max_bytes=1 << 20)
    (name,) = envelope["signatures"]
    with pytest.raises(SignatureError):
        trust.verify(pack({**envelope, "signatures": {name: bytes(size_bytes)}}), Kind.MANIFEST, build_key_set(1))


@pytest.mark.parametrize("made", list(Kind))
@pytest.mark.parametrize("wanted", list(Kind))
def test_an_envelope_of_one_kind_is_never_taken_for_another(made: Kind, wanted: Kind) -> None:
    data = signed(1, kind=made)
    if made is wanted:
        assert trust.verify(data, wanted, build_key_set(1)) == PAYLOAD
    else:
        with pytest.raises(ManifestError, match=f"a signed {made}, not a signed {wanted}"):
            trust.verify(data, wanted, build_key_set(1))


def test_a_signature_on_one_kind_is_worthless_on_another() -> None:
    envelope = unpack(signed(1, kind=Kind.CHANNEL), max_bytes=1 << 20)
    with pytest.raises(SignatureError):
        trust.verify(pack({**envelope, "kind": "manifest"}), Kind.MANIFEST, build_key_set(1))


@given(st.data())
def test_no_changed_byte_lets_another_payload_through(data: st.DataObject) -> None:
    envelope = bytearray(signed(1))
    envelope[data.draw(st.integers(0, len(envelope) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = trust.verify(bytes(envelope), Kind.MANIFEST, build_key_set(1))
    except TrustError:
        return
    assert found == PAYLOAD


@given(st.binary(max_size=300))
def test_random_bytes_are_no_envelope(data: bytes) -> None:
    with pytest.raises(ManifestError):
        trust.verify(data, Kind.MANIFEST, build_key_set(1))


def test_a_critical_field_of_an_envelope_is_refused() -> None:
    envelope = unpack(signed(1), max_bytes=1 << 20)
    with pytest.raises(ManifestError, match="envelope needs timestamp"):
        trust.verify(pack({**envelope, "crit": ["timestamp"], "timestamp": 1}), Kind.MANIFEST, build_key_set(1))


def test_an_envelope_above_its_bound_is_refused_unread() -> None:
    with pytest.raises(ManifestError, match="at most"):
        trust.open_envelope(bytes(trust.ENVELOPE_MAX_BYTES + 1), Kind.MANIFEST)


def test_a_key_printed_in_rfc_8032_is_never_trusted() -> None:
    with pytest.raises(KeyFileError, match="RFC 8032"):
        trust.key_set([trust.public_bytes(build_key(1)), RFC_8032_PUBLIC])


def test_the_rotation_to_a_key_printed_in_rfc_8032_is_refused() -> None:
    payload = pack({"version": 2, "threshold": 1, "keys": [RFC_8032_PUBLIC]})
    with pytest.raises(ManifestError, match="RFC 8032"):
        trust.follow(build_key_set(1), [signed(1, kind=Kind.KEYS, payload=payload)])


def test_without_rotations_the_key_set_stays() -> None:
    assert trust.follow(build_key_set(1), []) == build_key_set(1)


def test_a_node_follows_rotations_one_after_the_other() -> None:
    second, third = build_key_set(2, version=2), build_key_set(3, 4, threshold=2, version=3)
    chain = [rotation(second, 1, 2), rotation(third, 2, 3, 4)]
    assert trust.follow(build_key_set(1), chain) == third


def test_a_node_built_with_the_second_key_set_passes_over_the_first_rotation() -> None:
    third = build_key_set(3, version=3)
    chain = [rotation(build_key_set(2, version=2), 1, 2), rotation(third, 2, 3)]
    assert trust.follow(build_key_set(2), chain) == third


def test_a_node_built_with_the_newest_key_set_needs_no_old_key() -> None:
    third = build_key_set(3, version=3)
    chain = [rotation(build_key_set(2, version=2), 1, 2), rotation(third, 2, 3)]
    assert trust.follow(build_key_set(3), chain) == third


@pytest.mark.parametrize("seeds", [(2, 3), (1, 3)])
def test_a_skipped_rotation_ends_the_chain(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ManifestError, match="a key rotation is missing: expected version 2, found 3"):
        trust.follow(build_key_set(1), [rotation(build_key_set(3, version=3), *seeds)])


def test_a_rotation_that_the_old_keys_did_not_sign_is_refused() -> None:
    with pytest.raises(ThresholdError):
        trust.follow(build_key_set(1), [rotation(build_key_set(2, version=2), 2)])


def test_a_rotation_that_its_own_keys_did_not_sign_is_refused() -> None:
    with pytest.raises(ThresholdError):
        trust.follow(build_key_set(1), [rotation(build_key_set(2, version=2), 1)])


def test_a_rotation_needs_the_threshold_of_both_sets() -> None:
    old, new = build_key_set(1, 2, threshold=2), build_key_set(3, 4, threshold=2, version=2)
    assert trust.follow(old, [rotation(new, 1, 2, 3, 4)]) == new
    for seeds in ((1, 3, 4), (1, 2, 3)):
        with pytest.raises(ThresholdError):
            trust.follow(old, [rotation(new, *seeds)])


def test_a_claim_to_be_a_later_version_of_the_trusted_set_needs_its_signature() -> None:
    with pytest.raises(ThresholdError):
        trust.follow(build_key_set(1), [rotation(build_key_set(1, version=99), 2)])


def test_a_rotation_back_to_the_first_keys_is_followed() -> None:
    chain = [rotation(build_key_set(2, version=2), 1, 2), rotation(build_key_set(1, version=3), 2, 1)]
    assert trust.follow(build_key_set(1), chain) == build_key_set(1, version=3)
    assert trust.follow(build_key_set(2), chain) == build_key_set(1, version=3)


def test_more_rotations_than_the_bound_are_refused() -> None:
    chain = [rotation(build_key_set(1, version=number), 1) for number in range(2, trust.MAX_ROTATIONS + 3)]
    with pytest.raises(ManifestError, match="more key rotations"):
        trust.follow(build_key_set(1), chain)
    assert trust.follow(build_key_set(1), chain[:-1]).version == trust.MAX_ROTATIONS + 1


@pytest.mark.parametrize(
    "payload",
    [
        b"\xc1",
        pack({"version": 0, "threshold": 1, "keys": [bytes(32)]}),
        pack({"version": 2, "threshold": 1, "keys": [bytes(31)]}),
        pack({"version": 2, "threshold": 1, "keys": ["text"]}),
        pack({"version": 2, "threshold": 0, "keys": [bytes(32)]}),
        pack({"version": 2, "threshold": 1, "keys": [], "crit": ["hsm"]}),
    ],
)
def test_a_malformed_key_set_is_refused(payload: bytes) -> None:
    with pytest.raises(ManifestError, match="the signed key set cannot be used"):
        trust.decode_key_set(payload)


CHANNEL = Channel("test", "stable", Sequence(7), bytes(32))


def test_a_channel_comes_back_from_its_bytes() -> None:
    assert trust.decode_channel(trust.encode_channel(CHANNEL)) == CHANNEL


@pytest.mark.parametrize(
    "payload", [b"", pack({"fleet": "a"}), trust.encode_channel(replace(CHANNEL, fleet="x" * 300))]
)
def test_a_malformed_channel_is_refused(payload: bytes) -> None:
    with pytest.raises(ManifestError, match="the signed channel cannot be used"):
        trust.decode_channel(payload)


def test_a_channel_file_leads_to_its_keys_and_its_pointer() -> None:
    second = build_key_set(2, version=2)
    pointer = signed(2, kind=Kind.CHANNEL, payload=trust.encode_channel(CHANNEL))
    data = trust.encode_channel_file(pointer, [rotation(second, 1, 2)])
    assert trust.open_channel_file(data, build_key_set(1)) == trust.Opened(second, CHANNEL, 1)


def test_a_pointer_by_rotated_keys_is_refused_without_the_rotation() -> None:
    pointer = signed(2, kind=Kind.CHANNEL, payload=trust.encode_channel(CHANNEL))
    with pytest.raises(ThresholdError, match="the channel is not signed by enough"):
        trust.open_channel_file(trust.encode_channel_file(pointer, []), build_key_set(1))


def test_a_pointer_by_the_old_keys_is_refused_after_the_rotation() -> None:
    pointer = signed(1, kind=Kind.CHANNEL, payload=trust.encode_channel(CHANNEL))
    data = trust.encode_channel_file(pointer, [rotation(build_key_set(2, version=2), 1, 2)])
    with pytest.raises(ThresholdError):
        trust.open_channel_file(data, build_key_set(1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>not found</html>",
        pack({"pointer": "text", "rotations": []}),
        pack({"pointer": b"", "rotations": [1]}),
    ],
)
def test_what_is_no_channel_file_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError, match="not a channel file"):
        trust.split_channel_file(data)


def test_a_manifest_at_or_above_the_floor_passes_and_one_below_does_not() -> None:
    freshness.check_floor(Sequence(7), floor=Sequence(7))
    with pytest.raises(RollbackError, match="expected sequence 8 or later, found 7"):
        freshness.check_floor(Sequence(7), floor=Sequence(8))


def test_an_expired_manifest_is_refused_only_by_a_right_clock() -> None:
    manifest = build_manifest()
    last = manifest.expires_unix_s
    freshness.check_expiry(manifest, now_unix_s=last, is_clock_right=True)
    freshness.check_expiry(manifest, now_unix_s=last + 7200, is_clock_right=False)
    freshness.check_expiry(manifest, now_unix_s=0, is_clock_right=True)
    with pytest.raises(ExpiredError, match=r"expired 2\.0 hours ago"):
        freshness.check_expiry(manifest, now_unix_s=last + 7200, is_clock_right=True)
    assert last > NOW_UNIX_S


def test_a_public_key_file_comes_back_from_its_text() -> None:
    keys = build_key_set(1, 2, 3, threshold=2)
    text = trust.format_public(keys.keys.values(), threshold=2)
    assert trust.parse_public(text, where="fleet.pub") == keys


def test_public_key_files_may_be_joined_and_commented() -> None:
    first, second = (trust.format_public([trust.public_bytes(build_key(seed))]) for seed in (1, 2))
    text = f"# the fleet\n{first}\n  {second}threshold 2 # both\n"
    assert trust.parse_public(text, where="fleet.pub") == build_key_set(1, 2, threshold=2)


@pytest.mark.parametrize(
    "text",
    [
        "swarmboot-ed25519 not-base64!",
        f"swarmboot-ed25519 {base64.b64encode(bytes(31)).decode()}",
        f"ssh-ed25519 {base64.b64encode(bytes(32)).decode()}",
        "threshold many",
        "threshold 100",
    ],
)
def test_a_line_that_is_no_public_key_is_named(text: str) -> None:
    good = trust.format_public([trust.public_bytes(build_key(1))])
    with pytest.raises(KeyFileError, match=r"fleet\.pub, line 2, is no public key"):
        trust.parse_public(good + text, where="fleet.pub")


def test_an_empty_public_key_file_is_refused() -> None:
    with pytest.raises(KeyFileError, match=r"fleet\.pub holds no public key"):
        trust.parse_public("# nothing\n", where="fleet.pub")


@pytest.mark.parametrize("threshold", [0, 2])
def test_a_threshold_that_cannot_be_met_is_refused(threshold: int) -> None:
    text = trust.format_public([trust.public_bytes(build_key(1))], threshold=threshold)
    with pytest.raises(KeyFileError, match="the threshold cannot be met"):
        trust.parse_public(text, where="fleet.pub")


def test_a_private_key_given_by_mistake_is_not_repeated_in_the_message() -> None:
    with pytest.raises(KeyFileError, match="found a private key") as refused:
        trust.parse_public("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n", where="fleet.pub")
    assert "MC4C" not in str(refused.value)
