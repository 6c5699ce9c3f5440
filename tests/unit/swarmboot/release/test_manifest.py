"""A manifest means one thing, and what cannot be obeyed is refused."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmboot.codec import pack, unpack
from swarmboot.errors import ManifestError
from swarmboot.ids import MAX_SEQUENCE, Digest, InfoHash, Sequence
from swarmboot.release.chunks import CHUNK_LIST_MAX_BYTES
from swarmboot.release.manifest import (
    MANIFEST_MAX_BYTES,
    MAX_PIECES,
    Artifact,
    Manifest,
    Pinned,
    Profile,
    Role,
    decode,
    encode,
    is_safe_name,
)
from tests.support.builders import build_artifact, build_manifest, build_plugin, field_names

names = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(is_safe_name)
texts = st.text(max_size=30)
settings = st.dictionaries(st.text(max_size=10), texts, max_size=3)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    labels = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    roles = [Role.ROOT, *draw(st.lists(st.sampled_from([Role.PLUGIN, Role.KERNEL]), min_size=3, max_size=3))]
    artifacts = tuple(
        Artifact(
            name=name,
            role=role,
            format=draw(st.sampled_from(["squashfs", "tar.gz"])),
            size_bytes=draw(st.integers(1, 1 << 30)),
            sha256=Digest(draw(st.binary(min_size=32, max_size=32))),
            info_hash=InfoHash(bytes([index]) + draw(st.binary(min_size=31, max_size=31))),
            piece_bytes=1 << draw(st.integers(14, 28)),
            chunks=draw(st.none() | st.just(Pinned(Digest(bytes(32)), 5000))),
        )
        for index, (name, role) in enumerate(zip(labels, roles, strict=False))
    )
    profile = st.builds(
        Profile,
        name=texts,
        macs=st.lists(st.just("52:54:00:*"), max_size=2).map(tuple),
        dmi=settings,
        plugins=st.none() | st.lists(st.sampled_from(labels), max_size=3).map(tuple),
        env=settings,
        cmdline=texts,
    )
    return Manifest(
        fleet=draw(texts),
        name=draw(texts),
        sequence=Sequence(draw(st.integers(1, MAX_SEQUENCE))),
        issued_unix_s=draw(st.integers(0, 2**53)),
        expires_unix_s=draw(st.integers(0, 2**53)),
        artifacts=artifacts,
        cmdline=draw(texts),
        env=draw(settings),
        profiles=tuple(draw(st.lists(profile, max_size=2))),
        allow=tuple(draw(st.lists(texts, max_size=2))),
    )


@given(manifests())
def test_what_was_encoded_comes_back(manifest: Manifest) -> None:
    assert decode(encode(manifest)) == manifest


@given(manifests(), st.data())
def test_a_changed_byte_is_refused_or_gives_another_manifest(manifest: Manifest, data: st.DataObject) -> None:
    encoded = bytearray(encode(manifest))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(encoded))
    except ManifestError:
        return
    has_same_fields = field_names(msgpack.unpackb(bytes(encoded))) == field_names(msgpack.unpackb(encode(manifest)))
    assert found != manifest or not has_same_fields


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_as_a_manifest_error(data: bytes) -> None:
    with pytest.raises(ManifestError, match="cannot be used"):
        decode(data)


def altered(**changes: Any) -> bytes:
    """Return a manifest's bytes with fields changed beneath the encoder."""
    value = unpack(encode(build_manifest()), max_bytes=MANIFEST_MAX_BYTES)
    return pack({**value, **changes})


def artifact_value(**changes: Any) -> dict[str, Any]:
    value = unpack(encode(build_manifest()), max_bytes=MANIFEST_MAX_BYTES)["artifacts"][0]
    return {**value, **changes}


def test_a_field_that_a_newer_version_marks_as_critical_is_refused_by_name() -> None:
    with pytest.raises(ManifestError, match="needs dm_verity, which this version does not know"):
        decode(altered(crit=["dm_verity"], dm_verity="x"))


def test_a_critical_field_within_an_artifact_or_a_profile_is_refused_too() -> None:
    with pytest.raises(ManifestError, match="artifact needs verity"):
        decode(altered(artifacts=[artifact_value(crit=["verity"], verity=1)]))
    with pytest.raises(ManifestError, match="profile needs shape"):
        decode(altered(profiles=[{"name": "a", "cmdline": "", "crit": ["shape"], "shape": 1}]))


def test_an_unknown_field_that_is_not_critical_is_passed_over() -> None:
    found = decode(altered(comment="built on a Monday"))
    assert (found, found.unknown, build_manifest().unknown) == (build_manifest(), ("comment",), ())
    assert decode(encode(found)).unknown == ()


def test_a_list_of_chunks_is_passed_over_by_who_does_not_know_it_and_missed_by_nobody() -> None:
    """Nothing marks it as critical, and a field that is neither known nor critical is passed over."""
    with_list = build_artifact(chunks=Pinned(Digest(bytes(32)), 5000))
    value = unpack(encode(build_manifest(artifacts=(with_list,))), max_bytes=MANIFEST_MAX_BYTES)
    assert "crit" not in value
    assert "crit" not in value["artifacts"][0]
    assert value["artifacts"][0].pop("chunks") == {"sha256": bytes(32), "size": 5000}
    assert decode(pack(value)) == build_manifest(artifacts=(build_artifact(),))


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([], id="no map"),
        pytest.param({}, id="nothing in it"),
        pytest.param({"sha256": bytes(31), "size": 5}, id="half a digest"),
        pytest.param({"sha256": bytes(32), "size": 0}, id="empty"),
        pytest.param({"sha256": bytes(32), "size": CHUNK_LIST_MAX_BYTES + 1}, id="huge"),
        pytest.param({"sha256": bytes(32), "size": 5, "crit": ["salt"], "salt": 1}, id="critical"),
    ],
)
def test_a_list_of_chunks_that_is_not_named_rightly_is_refused(chunks: object) -> None:
    with pytest.raises(ManifestError, match="chunks"):
        decode(altered(artifacts=[artifact_value(chunks=chunks)]))


def test_another_format_is_refused() -> None:
    with pytest.raises(ManifestError, match="format 2, this version knows 1"):
        decode(altered(format=2))


@pytest.mark.parametrize("size_bytes", [MANIFEST_MAX_BYTES + 1, MANIFEST_MAX_BYTES * 4])
def test_a_manifest_above_its_bound_is_refused_unread(size_bytes: int) -> None:
    with pytest.raises(ManifestError, match=f"{size_bytes} bytes, at most {MANIFEST_MAX_BYTES}"):
        decode(bytes(size_bytes))


@pytest.mark.parametrize(
    "artifacts",
    [
        pytest.param((), id="none"),
        pytest.param((build_artifact(role=Role.KERNEL),), id="no root"),
        pytest.param((build_artifact("a"), build_artifact("b")), id="two roots"),
        pytest.param((build_artifact("a"), build_plugin("a", info_hash=InfoHash(bytes(32)))), id="a name twice"),
        pytest.param(
            (build_artifact("a"), build_plugin("b", info_hash=build_artifact("a").info_hash)), id="a torrent twice"
        ),
        pytest.param((build_artifact("../etc/passwd"),), id="a path"),
        pytest.param((build_artifact(size_bytes=0),), id="empty"),
        pytest.param((build_artifact(piece_bytes=3 << 14),), id="no power of two"),
        pytest.param((build_artifact(piece_bytes=1 << 13),), id="pieces below a block"),
        pytest.param((build_artifact(size_bytes=(MAX_PIECES + 1) << 14, piece_bytes=1 << 14),), id="too many pieces"),
        pytest.param((build_artifact(sha256=Digest(b"short")),), id="no digest"),
        pytest.param((build_artifact(info_hash=InfoHash(bytes(20))),), id="a v1 info-hash"),
    ],
)
def test_artifacts_that_no_node_could_use_are_refused(artifacts: tuple[Artifact, ...]) -> None:
    with pytest.raises(ManifestError, match="cannot be used"):
        decode(encode(build_manifest(artifacts=artifacts)))


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ManifestError, match="unknown role"):
        decode(altered(artifacts=[artifact_value(role="firmware")]))


def test_a_profile_may_only_name_plugins_that_are_there() -> None:
    with pytest.raises(ManifestError, match=r"profile gpu names plugins that are not there: 20-gpu\.squashfs"):
        decode(encode(build_manifest(profiles=(Profile("gpu", plugins=("20-gpu.squashfs",)),))))


def test_a_sequence_below_one_is_refused() -> None:
    with pytest.raises(ManifestError):
        decode(encode(build_manifest(sequence=Sequence(0))))


@pytest.mark.parametrize(("size_bytes", "pieces"), [(1, 1), (65536, 1), (65537, 2), (1_000_000, 16)])
def test_the_last_piece_may_be_short(size_bytes: int, pieces: int) -> None:
    assert build_artifact(size_bytes=size_bytes).pieces == pieces


def test_artifacts_are_found_by_role() -> None:
    root, first, second = build_artifact(), build_plugin("10-a.squashfs"), build_plugin("20-b.squashfs")
    manifest = build_manifest(artifacts=(root, first, second))
    assert manifest.root == root
    assert manifest.with_role(Role.PLUGIN) == (first, second)


@pytest.mark.parametrize("name", ["rootfs.squashfs", "10-driver.tar.gz", "a", "A+b_c"])
def test_a_plain_file_name_is_safe(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a b", "a\nb", "a\n", "-rf", "a" * 129, "ä", "a;b", "$a"])
def test_any_other_name_is_not(name: str) -> None:
    assert not is_safe_name(name)


def test_a_manifest_without_secrets_has_the_bytes_that_it_had_before_there_were_any() -> None:
    assert "secrets" not in unpack(encode(build_manifest()), max_bytes=MANIFEST_MAX_BYTES)
    pinned = build_manifest(profiles=(Profile("gpu"),), secrets={"": Digest(b"a" * 32), "gpu": Digest(b"b" * 32)})
    assert decode(encode(pinned)) == pinned


@pytest.mark.parametrize("secrets", [{"other": b"a" * 32}, {"": b"a" * 31}, {b"": b"a" * 32}, {"": "a" * 32}, []])
def test_secrets_are_digests_by_the_name_of_a_profile_that_is_there(secrets: Any) -> None:
    with pytest.raises(ManifestError):
        decode(altered(secrets=secrets))


def test_a_trace_comes_back_and_an_artifact_without_one_has_the_bytes_that_it_had_before_there_were_any() -> None:
    plain = build_manifest()
    (root,) = plain.artifacts
    traced = replace(plain, artifacts=(replace(root, trace=((0, 1),)),))
    assert decode(encode(traced)) == traced
    assert "trace" not in unpack(encode(plain), max_bytes=MANIFEST_MAX_BYTES)["artifacts"][0]


@pytest.mark.parametrize("trace", [[0], [0, 0], [MAX_PIECES, 1], [-1, 1], [0, True], [0, MAX_PIECES], ["0", 1]])
def test_a_trace_that_is_no_list_of_runs_in_the_image_is_refused(trace: list[Any]) -> None:
    value = unpack(encode(build_manifest()), max_bytes=MANIFEST_MAX_BYTES)
    value["artifacts"][0]["trace"] = trace
    with pytest.raises(ManifestError, match="trace"):
        decode(pack(value))
