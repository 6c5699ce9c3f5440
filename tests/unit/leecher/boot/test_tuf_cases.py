"""What the conformance suite of The Update Framework asks of a client, asked of ours.

docs/threat-model.md maps the suite's cases, by name, to these tests and to those that were here before. A node has one
signed manifest in place of the framework's targets and snapshot, and a channel's pointer in place of its timestamp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from leecher.release import trusted_release as releases
from leecher.release.trusted_release import Release, ReleaseRequirements, open_release
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
from swarmboot.ids import MAX_SEQUENCE, Sequence
from swarmboot.release import layout, trust
from swarmboot.release import manifest as manifests
from swarmboot.release.canary import Canary, decode_canary, encode_canary
from swarmboot.release.manifest import Manifest
from swarmboot.release.trust import KeySet, Kind
from tests.support.builders import NOW_UNIX_S, build_key_set, build_keys, build_manifest

DAY_S = 86400


@dataclass
class Repository:
    """A site in memory: what an honest or a dishonest server answers under each path."""

    files: dict[str, bytes]

    def get(self, path: str) -> bytes:
        return self.files[path]


def signed(kind: Kind, payload: bytes, seeds: Iterable[int]) -> bytes:
    return trust.sign(kind, payload, build_keys(*seeds))


def rotation(keys: KeySet, seeds: Iterable[int]) -> bytes:
    return signed(Kind.KEYS, trust.encode_key_set(keys), seeds)


def build_repository(
    number: int = 7,
    seeds: Iterable[int] = (1,),
    *,
    rotations: Iterable[bytes] = (),
    pointer_expires_unix_s: int = 0,
    **changes: object,
) -> Repository:
    """Return a site whose channel points to manifest `number`, both signed by these seeds' keys."""
    manifest = build_manifest(sequence=Sequence(number), **changes)
    envelope = signed(Kind.MANIFEST, manifests.encode(manifest), seeds)
    channel = trust.Channel(
        manifest.fleet, "stable", Sequence(number), hashlib.sha256(envelope).digest(), pointer_expires_unix_s
    )
    pointer = signed(Kind.CHANNEL, trust.encode_channel(channel), seeds)
    return Repository(
        {
            layout.channel_path("stable"): trust.encode_channel_file(pointer, rotations),
            layout.manifest_path(Sequence(number)): envelope,
        }
    )


def refresh(repository: Repository, trusted: KeySet | None = None, *, floor: int = 0) -> Release:
    """Return the release that a node gets from this site: the real client flow, documents handed in."""
    asking = open_release(ReleaseRequirements(trusted or build_key_set(1), "stable", Sequence(floor)))
    request = next(asking)
    while True:
        try:
            request = asking.send(repository.get(request.path))
        except StopIteration as done:
            found: Release = done.value
            return found


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the clock stand at the hour in which the manifests of these tests are issued."""
    now = [float(NOW_UNIX_S) + 3600]
    monkeypatch.setattr("leecher.release.trusted_release.time.time", lambda: now[0])
    monkeypatch.setattr(releases, "CLOCK_RIGHT_SINCE_S", NOW_UNIX_S)
    return now


def test_a_node_asks_for_the_pointer_and_then_for_the_manifest_it_names() -> None:
    asking = open_release(ReleaseRequirements(build_key_set(1), "stable", Sequence(0)))
    repository = build_repository(41)
    assert next(asking).path == "channels/stable.swarm"
    assert asking.send(repository.get("channels/stable.swarm")).path == "manifests/41.swarm"


@pytest.mark.parametrize("text", ["", "threshold 1\n", "threshold 2\n", "{}"])
def test_an_invalid_trust_file_is_refused_before_anything_is_asked(text: str) -> None:
    with pytest.raises(KeyFileError):
        trust.parse_public(text, where="fleet.pub")


@pytest.mark.parametrize("path", ["channels/stable.swarm", "manifests/7.swarm"])
def test_an_unsigned_document_of_either_kind_ends_the_refresh(path: str) -> None:
    good, bad = build_repository(), build_repository(seeds=(9,))
    with pytest.raises(TrustError):
        refresh(Repository({**good.files, path: bad.get(path)}))


def test_an_invalid_signature_beside_enough_good_ones_does_no_harm() -> None:
    keys = build_key_set(1, 2, 3, threshold=2)
    envelope = unpack(signed(Kind.MANIFEST, b"payload", (1, 2, 3)), max_bytes=1 << 20)
    for spoilt in envelope["signatures"]:
        signatures = {**envelope["signatures"], spoilt: bytes(64)}
        assert trust.verify(pack({**envelope, "signatures": signatures}), Kind.MANIFEST, keys) == b"payload"


def test_an_invalid_signature_is_not_counted_and_named_where_it_is_missed() -> None:
    envelope = unpack(signed(Kind.MANIFEST, b"payload", (1, 2)), max_bytes=1 << 20)
    spoilt = min(envelope["signatures"])
    signatures = {**envelope["signatures"], spoilt: bytes(64)}
    with pytest.raises(SignatureError, match=f"signature by key {spoilt.hex()[:16]} is not over these bytes"):
        trust.verify(pack({**envelope, "signatures": signatures}), Kind.MANIFEST, build_key_set(1, 2, threshold=2))


def test_one_key_under_several_ids_counts_once() -> None:
    """Ids are computed from the keys, never read, so that there is no second name for one."""
    envelope = unpack(signed(Kind.MANIFEST, b"payload", (1,)), max_bytes=1 << 20)
    ((name, signature),) = envelope["signatures"].items()
    signatures = {bytes([number]) * 16: signature for number in range(9)} | {name: signature}
    doubled = pack({**envelope, "signatures": signatures})
    with pytest.raises(ThresholdError):
        trust.verify(doubled, Kind.MANIFEST, build_key_set(1, 2, threshold=2))


def test_a_key_set_that_lists_one_key_twice_is_refused() -> None:
    (public,) = build_key_set(2).keys.values()
    payload = pack({"version": 2, "threshold": 1, "keys": [public, public]})
    with pytest.raises(ManifestError, match="a key stands in it twice"):
        trust.follow(build_key_set(1), [signed(Kind.KEYS, payload, (1, 2))])


def test_two_signatures_under_one_id_are_no_envelope() -> None:
    data = signed(Kind.MANIFEST, b"payload", (1,))
    (name,) = unpack(data, max_bytes=1 << 20)["signatures"]
    entry = b"\xc4\x10" + name
    start = data.index(entry)
    whole = data[start : start + len(entry) + 66]
    doubled = data.replace(b"\x81" + whole, b"\x82" + whole + whole)
    assert doubled != data
    with pytest.raises(ManifestError, match="canonical"):
        trust.verify(doubled, Kind.MANIFEST, build_key_set(1))


def test_a_threshold_above_the_number_of_keys_is_refused() -> None:
    with pytest.raises(KeyFileError, match="threshold cannot be met"):
        build_key_set(1, 2, threshold=3)


ROTATIONS: dict[str, tuple[list[tuple[list[int], int, list[int]]], bool]] = {
    "one key for another": ([([1], 1, [1]), ([2], 1, [1, 2]), ([2, 5], 1, [2])], True),
    "strangers sign as well": ([([1], 1, [1]), ([2], 1, [3, 2, 1, 4])], True),
    "other members each time": ([([0, 1, 2, 3, 4], 3, []), ([0, 1, 2, 3, 5], 3, [0, 1, 2]),
                                 ([0, 1, 2, 3, 6], 3, [1, 2, 3])], True),
    "one key of five": ([([0, 1, 2, 3, 4], 3, []), ([0, 1, 3, 4, 5], 3, [0, 4, 1])], True),
    "all five at once": ([([0, 1, 2, 3, 4], 3, []), ([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7])], True),
    "a higher threshold": ([([1, 2, 3], 1, []), ([1, 2, 3], 2, [1, 2])], True),
    "a lower threshold": ([([1, 2, 3], 2, []), ([1, 2, 3], 1, [1, 2])], True),
    "one more key and a higher threshold": ([([1], 1, []), ([1, 2], 2, [1, 2])], True),
    "not signed by the old key": ([([1], 1, []), ([2], 1, [2, 3, 4])], False),
    "not signed by the new key": ([([1], 1, []), ([2], 1, [1, 3, 4])], False),
    "too few of the new keys": ([([0, 1, 2, 3, 4], 3, []), ([0, 1, 3, 4, 5], 3, [0, 2, 4])], False),
    "too few of the old keys": ([([0, 1, 2, 3, 4], 3, []), ([0, 1, 3, 4, 5], 3, [0, 4, 5])], False),
    "the new threshold is not reached": ([([1, 2, 3], 1, []), ([1, 2, 3], 2, [2])], False),
    "the old threshold is not reached": ([([1, 2, 3], 2, []), ([1, 2, 3], 1, [1])], False),
}  # fmt: skip


@pytest.mark.parametrize(("versions", "is_followed"), ROTATIONS.values(), ids=ROTATIONS.keys())
def test_a_rotation_is_followed_when_old_and_new_keys_have_signed_it(
    versions: list[tuple[list[int], int, list[int]]], is_followed: bool
) -> None:
    sets = [
        build_key_set(*(10 + seed for seed in seeds), threshold=threshold, version=version)
        for version, (seeds, threshold, _) in enumerate(versions, start=1)
    ]
    chain = [
        rotation(keys, (10 + seed for seed in signers))
        for keys, (_, _, signers) in zip(sets[1:], versions[1:], strict=True)
    ]
    if is_followed:
        assert trust.follow(sets[0], chain) == sets[-1]
    else:
        with pytest.raises(ThresholdError):
            trust.follow(sets[0], chain)


def test_after_a_rotation_only_the_new_keys_count() -> None:
    chain = [rotation(build_key_set(2, version=2), (1, 2))]
    assert refresh(build_repository(seeds=(2,), rotations=chain)).rotations == 1
    for signers in ((1,), (3,)):
        with pytest.raises(ThresholdError):
            refresh(build_repository(seeds=signers, rotations=chain))


def test_a_number_below_the_floor_is_a_rollback() -> None:
    assert refresh(build_repository(8), floor=8).manifest.sequence == 8
    with pytest.raises(RollbackError):
        refresh(build_repository(7), floor=8)


def test_a_pointer_and_a_manifest_of_different_numbers_are_refused() -> None:
    seven, eight = build_repository(7), build_repository(8)
    mixed = {**seven.files, "manifests/7.swarm": eight.get("manifests/8.swarm")}
    with pytest.raises(ManifestError, match="not the one the channel names"):
        refresh(Repository(mixed))


def test_another_manifest_of_the_same_number_is_refused() -> None:
    good, other = build_repository(7), build_repository(7, name="another")
    path = "manifests/7.swarm"
    with pytest.raises(ManifestError, match="not the one the channel names"):
        refresh(Repository({**good.files, path: other.get(path)}))


def test_fast_forward_is_recovered_from_by_rotating_the_keys() -> None:
    chain = [rotation(build_key_set(2, version=2), (1, 2))]
    stolen = refresh(build_repository(MAX_SEQUENCE))
    recovered = refresh(build_repository(8, (2,), rotations=chain), floor=MAX_SEQUENCE)
    assert recovered.standing > stolen.standing
    with pytest.raises(RollbackError):
        refresh(build_repository(8), floor=MAX_SEQUENCE)


def test_a_rotation_that_leaves_the_old_keys_enough_lifts_no_floor() -> None:
    chain = [rotation(build_key_set(1, 2, version=2), (1, 2))]
    with pytest.raises(RollbackError):
        refresh(build_repository(7, (1,), rotations=chain), floor=8)
    assert refresh(build_repository(8, (1,), rotations=chain), floor=8).manifest.sequence == 8


def test_each_document_expires_by_itself(clock: list[float]) -> None:
    repository = build_repository(pointer_expires_unix_s=NOW_UNIX_S + DAY_S // 2)
    assert refresh(repository).manifest.sequence == 7
    clock[0] = NOW_UNIX_S + DAY_S / 2 + 1
    with pytest.raises(ExpiredError, match="the pointer of channel stable has expired"):
        refresh(repository)
    assert refresh(build_repository()).manifest.sequence == 7
    clock[0] = NOW_UNIX_S + DAY_S + 1
    with pytest.raises(ExpiredError, match="the manifest has expired"):
        refresh(build_repository())


def test_a_newer_document_takes_the_place_of_an_expired_one(clock: list[float]) -> None:
    clock[0] = NOW_UNIX_S + 18 * DAY_S
    with pytest.raises(ExpiredError):
        refresh(build_repository(7))
    assert refresh(build_repository(8, expires_unix_s=NOW_UNIX_S + 21 * DAY_S)).manifest.sequence == 8


def test_a_clock_that_was_never_set_expires_nothing(clock: list[float]) -> None:
    clock[0] = 0.0
    assert refresh(build_repository(pointer_expires_unix_s=NOW_UNIX_S)).manifest.sequence == 7


def test_what_was_signed_is_kept_byte_for_byte() -> None:
    repository = build_repository()
    assert refresh(repository).documents == repository.files


@pytest.mark.parametrize("kind", list(Kind))
def test_a_field_that_this_version_does_not_know_is_signed_like_any_other(kind: Kind) -> None:
    payloads = {
        Kind.MANIFEST: manifests.encode(build_manifest()),
        Kind.CHANNEL: trust.encode_channel(trust.Channel("test", "stable", Sequence(7), bytes(32))),
        Kind.KEYS: trust.encode_key_set(build_key_set(2, version=2)),
        Kind.CANARY: encode_canary(Canary(fleet="test", channel="stable", source="edge")),
    }
    decode = {
        Kind.MANIFEST: manifests.decode, Kind.CHANNEL: trust.decode_channel, Kind.KEYS: trust.decode_key_set,
        Kind.CANARY: decode_canary,
    }  # fmt: skip
    payload = pack({**unpack(payloads[kind], max_bytes=1 << 20), "custom-field": {"a": 1}})
    data = signed(kind, payload, (1,))
    assert trust.verify(data, kind, build_key_set(1)) == payload
    assert decode[kind](payload) == decode[kind](payloads[kind])
    with pytest.raises(SignatureError):
        trust.verify(data.replace(b"custom-field", b"custom-fiel_"), kind, build_key_set(1))


@pytest.mark.parametrize("name", ["?", "#", "/stable", "../stable", ".", "..", "a/b", "%2e%2e", ""])
def test_an_unusual_channel_name_is_refused_before_it_is_a_path(name: str) -> None:
    with pytest.raises(Exception, match="not a channel name"):
        layout.check_channel_name(name)


@pytest.mark.parametrize("name", ["path/to/rootfs.squashfs", "../rootfs.squashfs", "/rootfs.squashfs", "."])
def test_a_file_name_with_a_folder_is_refused(name: str) -> None:
    manifest: Manifest = build_manifest()
    (root,) = manifest.artifacts
    with pytest.raises(ManifestError, match="not a plain file name"):
        manifests.decode(manifests.encode(replace(manifest, artifacts=(replace(root, name=name),))))
