"""The verb `swarmboot pxe rpi`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swarmboot import completion
from swarmboot.errors import MalformedSettingError, ReleaseError
from swarmboot.host.text_files import read_text
from swarmboot.parameters import JSON
from swarmboot.release import freshness, layout
from swarmboot.text.addresses import read_server
from swarmboot.text.units import format_size

if TYPE_CHECKING:
    from seeder.boot_script.load import Stage0
    from swarmboot.release.manifest import Artifact, Manifest
    from swarmboot.release.trust import KeySet

PI_FOLDER = Path("/var/lib/swarmboot/pxe/rpi")


@click.command()
@click.argument("site", type=click.Path(path_type=Path), default="site")
@click.option("--server", required=True, metavar="URL", callback=lambda _c, _o, url: read_server(url),
              help="The seeder's address for nodes, https://HOST:PORT.")  # fmt: skip
@click.option("--firmware", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Raspberry Pi's own boot files, as in /usr/lib/raspi-firmware.")  # fmt: skip
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE",
              help="The RSA key of 2048 bits to sign with, PEM; its public half is in the boards' EEPROM.")  # fmt: skip
@click.option("--trust", type=click.Path(path_type=Path), multiple=True, metavar="PUB",
              help="Public keys that must have signed the release; your own without.")  # fmt: skip
@click.option("--dtb", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Device trees, as RELEASE/dtb: of those in SITE nothing is signed.")  # fmt: skip
@click.option("--channel", default=layout.DEFAULT_CHANNEL, show_default=True,
              callback=lambda _c, _o, name: layout.check_channel_name(name), help="What to boot.",
              shell_complete=completion.channels)  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Lines to add to config.txt, as enable_uart=1.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=PI_FOLDER, show_default=True, metavar="DIR",
              help="Where to write boot.img and boot.sig; `serve` has those of its --state folder.")  # fmt: skip
@JSON
def rpi(
    site: Path, server: str, firmware: Path, key: Path | None, trust: tuple[Path, ...], dtb: Path | None, channel: str,
    config: Path | None, out: Path, is_json: bool,
) -> None:  # fmt: skip
    """Write boot.img and boot.sig, from which Raspberry Pi 4 and 5 boot a SITE's release over HTTP.

    SITE is the folder `site` here without it. Nothing is signed that those have not who sign for nodes: the release is
    checked first, as a node would.

    \b
    Example:
      openssl genrsa -out pi.pem 2048
      swarmboot pxe rpi site/ --server https://10.0.0.1:8470 --firmware /usr/lib/raspi-firmware --key pi.pem
    """
    from seeder.boot_script.kernel_cmdline import node_cmdline
    from seeder.publish.keys_at_hand import trusted_keys
    from seeder.site.blobs import Blob
    from seeder.stage0.pi_image import boot_files, read_key, write_image

    layout.check_site(site)
    signing = read_key(key) if key else None
    manifest = _proved(site, channel, trusted_keys(trust, site))
    kernel, initramfs, stage0 = _needed(manifest)
    _check_machine(site / layout.blob_path(kernel.sha256), manifest)
    files = boot_files(
        kernel=Blob(site, kernel),
        initramfs=Blob(site, initramfs),
        cmdline=str(
            node_cmdline(stage0, mac="", server=server, channel=channel if channel != layout.DEFAULT_CHANNEL else "")
        ),
        firmware=firmware,
        trees=_trees(site, kernel, dtb, is_signed=signing is not None),
        more_config=read_text(config, label=str(config)) if config else "",
    )
    now_s = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    size_bytes = write_image(out, files, signing, now_s=now_s)
    note = "" if signing else "; unsigned: over HTTP no Raspberry Pi takes it without --key"
    said = f"{out}/boot.img boots {manifest.name}, manifest {manifest.sequence}: {format_size(size_bytes)}{note}"
    done = {
        "folder": str(out),
        "size_bytes": size_bytes,
        "manifest": manifest.sequence,
        "is_signed": signing is not None,
    }
    click.echo(json.dumps(done) if is_json else said)


def _proved(site: Path, channel: str, trusted: KeySet) -> Manifest:
    """Return what a channel points to; raise SiteError without it, trust errors where no node would boot it."""
    from seeder.site.reader import read_channel

    _, found = read_channel(site, channel, trusted)
    now_s = time.time()
    freshness.check_expiry(found.manifest, now_unix_s=now_s, is_clock_right=True)
    freshness.check_pointer_expiry(channel, found.expires_unix_s, now_unix_s=now_s, is_clock_right=True)
    return found.manifest


def _needed(manifest: Manifest) -> tuple[Artifact, Artifact, Stage0]:
    """Return a release's kernel and initramfs, and how they are started; raise ReleaseError if it has not both."""
    from seeder.boot_script.load import stage0_of

    stage0 = stage0_of(manifest)
    if stage0 is None or stage0.initramfs is None:
        raise ReleaseError(
            f"release {manifest.sequence} has no kernel and initramfs for a Raspberry Pi",
            expected="vmlinuz and initramfs.img for arm64 in it",
            found="none" if stage0 is None else "one unified kernel image",
        )
    return stage0.kernel, stage0.initramfs, stage0


def _check_machine(kernel: Path, manifest: Manifest) -> None:
    """Raise ReleaseError for a kernel that says it is another machine's; what says nothing is the board's to judge."""
    from seeder.initramfs.kernel import machine_of

    machine = machine_of(kernel)
    if machine not in ("", "arm64"):
        raise ReleaseError(
            f"the kernel of release {manifest.sequence} starts no Raspberry Pi",
            expected="one for arm64",
            found=f"one for {machine}",
            hint="publish the arm64 release into this site, or name its channel with --channel",
        )


def _trees(site: Path, kernel: Artifact, given: Path | None, *, is_signed: bool) -> Path | None:
    """Return where the kernel's device trees are; raise MalformedSettingError for those that nobody vouches for.

    No manifest names those in the site: whoever may write there could have others signed.
    """
    from seeder.site.device_trees import trees_path
    from seeder.stage0.pi_image import pi_trees

    own = site / trees_path(kernel.sha256)
    if given is None and is_signed and pi_trees(own):
        raise MalformedSettingError(
            f"the release has device trees, and nobody has signed those in {site}",
            expected="--dtb DIR, its dtb/ as it was published", found="--key without it",
            hint="name the folder, or that of the firmware for its own",
        )  # fmt: skip
    return given or own
