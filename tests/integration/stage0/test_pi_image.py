"""`boot.img` and `boot.sig` for Raspberry Pis, read by other programs: fsck.fat, mtools and OpenSSL."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from swarmboot.errors import (
    BlobError,
    ExpiredError,
    KeyFileError,
    MalformedSettingError,
    ReleaseError,
    SiteError,
    SpaceError,
    ThresholdError,
)
from swarmboot.release import layout
from tests.integration.stage0.test_strangers import get, stage0_address
from tests.support.commands import Done, run
from tests.support.live import kernel_bytes
from tests.support.loopback import Fleet, build_fleet, build_release, serving
from tests.support.waiting import wait_until
from tests.system.vm.programs import run as program

pytestmark = pytest.mark.needs("mformat", "fsck.fat", "openssl")
FILES = {"start4.elf": 2_000_000, "fixup4.dat": 5_000, "bcm2711-rpi-4-b.dtb": 50_000, "overlays/disable-bt.dtbo": 900}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    work = tmp_path_factory.mktemp("pi")
    return build_fleet(work / "fleet", build_release(work / "release", size_bytes=300_000, stage0_bytes=3_000_000))


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    for name, size_bytes in FILES.items():
        path = tmp_path / "firmware" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * (size_bytes // len(name)))
    return tmp_path / "firmware"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    program("openssl", "genrsa", "-out", str(tmp_path / "pi.pem"), "2048")
    return tmp_path / "pi.pem"


def rpi(fleet: Fleet, firmware: Path, out: Path, *arguments: object) -> Done:
    where = ("--server", "https://10.0.0.1:8470", "--firmware", firmware, "--out", out, "--trust", fleet.pub)
    return run("pxe", "rpi", fleet.site, *where, *arguments)


def test_the_image_is_a_sound_file_system_with_all_that_a_pi_needs(
    fleet: Fleet, firmware: Path, key: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").write_text("enable_uart=1\n")
    out = tmp_path / "out"
    done = rpi(fleet, firmware, out, "--key", key, "--config", tmp_path / "more")
    assert done.status == 0, done.err
    image = str(out / "boot.img")
    program("fsck.fat", "-n", image)
    names = program("mdir", "-i", image, "-b", "-/", "::").split()
    ours = ("overlays/", "config.txt", "cmdline.txt", "kernel8.img", "initramfs.img")
    assert set(names) == {f"::/{name}" for name in (*FILES, *ours)}
    config = program("mtype", "-i", image, "::config.txt").splitlines()
    assert {"arm_64bit=1", "kernel=kernel8.img", "initramfs initramfs.img followkernel", "enable_uart=1"} <= set(config)
    (cmdline,) = program("mtype", "-i", image, "::cmdline.txt").splitlines()
    assert re.search(
        r"swarmboot\.server=https://10\.0\.0\.1:8470 swarmboot\.stage0=[0-9a-f]{16},[0-9a-f]{16}$", cmdline
    )
    program("mcopy", "-i", image, "::kernel8.img", str(tmp_path / "kernel"))
    assert (fleet.site / layout.blob_path(hashlib.sha256((tmp_path / "kernel").read_bytes()).digest())).is_file()  # type: ignore[arg-type]


def test_a_kernel_of_another_machine_is_refused(tmp_path: Path, firmware: Path, key: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=300_000, stage0_bytes=3_000_000)
    (release / "vmlinuz").write_bytes(kernel_bytes())
    done = rpi(build_fleet(tmp_path / "fleet", release), firmware, tmp_path / "out", "--key", key)
    assert done.status == ReleaseError.exit_status
    assert "starts no Raspberry Pi: expected one for arm64, found one for x86-64" in done.err
    assert not (tmp_path / "out").exists()


def test_the_signature_is_what_openssl_takes_and_of_this_image_alone(
    fleet: Fleet, firmware: Path, key: Path, tmp_path: Path
) -> None:
    assert rpi(fleet, firmware, tmp_path / "out", "--key", key).status == 0
    image, public = tmp_path / "out/boot.img", tmp_path / "pi.pub"
    digest, time, signature = (tmp_path / "out/boot.sig").read_text().splitlines()
    assert digest == hashlib.sha256(image.read_bytes()).hexdigest()
    assert re.fullmatch(r"ts: \d{10}", time)
    assert re.fullmatch(r"rsa2048: [0-9a-f]{512}", signature)
    (tmp_path / "signature").write_bytes(bytes.fromhex(signature.removeprefix("rsa2048: ")))
    program("openssl", "rsa", "-in", str(key), "-pubout", "-out", str(public))
    verify = ("openssl", "dgst", "-verify", str(public), "-signature", str(tmp_path / "signature"), str(image))
    assert program(*verify) == "Verified OK\n"
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 1


def test_the_same_files_make_the_same_image_and_the_server_hands_it_out(
    fleet: Fleet, firmware: Path, key: Path, tmp_path: Path
) -> None:
    images = []
    for name in ("first", "second"):
        done = rpi(fleet, firmware, tmp_path / name, "--key", key, "--json")
        assert json.loads(done.out)["is_signed"] is True
        images.append((tmp_path / name / "boot.img").read_bytes())
    assert images[0] == images[1]
    with serving(fleet, "--pxe-listen", "127.0.0.1:0") as seeder:
        stage0 = stage0_address(seeder)
        assert get(stage0, "/net_install/boot.img", source="127.0.0.2") == b"no such file\n"
        assert rpi(fleet, firmware, seeder.ca.parent / "pxe/rpi", "--key", key).status == 0
        assert get(stage0, "/net_install/boot.img", source="127.0.0.2") == images[0]
        signature = get(stage0, "/net_install/boot.sig", source="127.0.0.2").decode()
        assert signature.startswith(hashlib.sha256(images[0]).hexdigest())
        assert get(stage0, "/net_install/..%2fdnsmasq.conf", source="127.0.0.2") in (b"no such file\n", b"Not Found")


def test_what_was_altered_in_the_site_is_not_signed(fleet: Fleet, firmware: Path, key: Path, tmp_path: Path) -> None:
    shutil.copytree(fleet.folder, tmp_path / "fleet")
    site = Fleet(tmp_path / "fleet")
    blob = max((path for path in (site.site / "blobs").iterdir()), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    done = rpi(site, firmware, tmp_path / "out", "--key", key)
    assert done.status == BlobError.exit_status
    assert re.search("is not the (kernel|initramfs) that was published", done.err)
    assert not (tmp_path / "out").exists()


def test_a_release_that_other_keys_have_signed_is_not_signed_for_boards(
    fleet: Fleet, firmware: Path, key: Path, tmp_path: Path
) -> None:
    """Whoever may write to the site publishes another kernel, with keys and digests that are right in themselves."""
    other = build_fleet(tmp_path / "other", build_release(tmp_path / "evil", size_bytes=300_000, stage0_bytes=20_000))
    shutil.copytree(fleet.site, tmp_path / "forged/site")
    shutil.copytree(other.site, tmp_path / "forged/site", dirs_exist_ok=True)
    assert rpi(other, firmware, tmp_path / "out", "--key", key).status == 0
    where = ("--server", "https://10.0.0.1:8470", "--firmware", firmware, "--out", tmp_path / "forged-out")
    for signing in (("--key", key), ()):
        done = run("pxe", "rpi", tmp_path / "forged/site", *where, "--trust", fleet.pub, *signing)
        assert done.status == ThresholdError.exit_status, done.err
        assert done.err.count("\n") == 1
        assert not (tmp_path / "forged-out").exists()


def test_a_release_that_has_expired_is_not_signed_for_boards(firmware: Path, key: Path, tmp_path: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=300_000, stage0_bytes=20_000)
    fleet = build_fleet(tmp_path / "fleet", release)
    fleet.publish(release, "--expires", "1s")
    over_s = time.time() + 1.1  # whole seconds are signed
    wait_until("the end of the release", lambda: time.time() > over_s)
    done = rpi(fleet, firmware, tmp_path / "out", "--key", key)
    assert done.status == ExpiredError.exit_status, done.err
    assert not (tmp_path / "out").exists()


def test_without_keys_to_check_with_nothing_is_signed_and_ones_own_are_taken(
    fleet: Fleet, firmware: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    where = ("--server", "https://10.0.0.1:8470", "--firmware", firmware, "--out", tmp_path / "out", "--key", key)
    done = run("pxe", "rpi", fleet.site, *where)
    assert done.status == KeyFileError.exit_status
    assert f"expected --trust PUB or {tmp_path}/home/swarmboot/swarmboot.pub" in done.err
    assert not (tmp_path / "out").exists()
    shutil.copytree(fleet.key.parent, tmp_path / "home/swarmboot")
    assert run("pxe", "rpi", fleet.site, *where).status == 0


def test_device_trees_that_nobody_has_signed_are_not_signed(firmware: Path, key: Path, tmp_path: Path) -> None:
    release = build_release(tmp_path / "release", size_bytes=300_000, stage0_bytes=20_000)
    (release / "dtb/broadcom").mkdir(parents=True)
    (release / "dtb/broadcom/bcm2711-rpi-4-b.dtb").write_bytes(b"tree as published")
    fleet = build_fleet(tmp_path / "fleet", release)
    (tree,) = (fleet.site / "stage0").rglob("*.dtb/**/bcm*.dtb")
    tree.write_bytes(b"tree altered")
    done = rpi(fleet, firmware, tmp_path / "out", "--key", key)
    assert done.status == MalformedSettingError.exit_status
    assert "expected --dtb DIR" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    done = rpi(fleet, firmware, tmp_path / "out", "--key", key, "--dtb", release / "dtb")
    assert done.status == 0, done.err
    held = program("mtype", "-i", str(tmp_path / "out/boot.img"), "::bcm2711-rpi-4-b.dtb")
    assert held == "tree as published"


def test_what_no_pi_would_boot_is_one_clear_line_and_writes_nothing(
    fleet: Fleet, firmware: Path, key: Path, tmp_path: Path
) -> None:
    program("openssl", "genrsa", "-out", str(tmp_path / "large.pem"), "3072")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    refused = [
        (rpi(fleet, firmware, out, "--key", tmp_path / "large.pem"), KeyFileError, "RSA of 2048 bits"),
        (rpi(fleet, firmware, out, "--key", tmp_path / "none.pem"), KeyFileError, "holds no usable key"),
        (
            rpi(fleet, tmp_path / "empty", out),
            MalformedSettingError,
            "is not the folder of a Raspberry Pi's boot files",
        ),
        (rpi(fleet, firmware, out, "--channel", "edge"), SiteError, "has no channel edge: expected one of stable"),
    ]
    with (firmware / "overlays/huge.dtbo").open("wb") as file:
        file.truncate(130 << 20)
    refused.append((rpi(fleet, firmware, out), SpaceError, "at most 128 MiB"))
    for done, kind, said in refused:
        assert done.status == kind.exit_status, done.err
        assert said in done.err
        assert done.err.count("\n") == 1
    assert not out.exists()
