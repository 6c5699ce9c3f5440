"""The verb `swarmboot pxe rpi`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from swarmboot.errors import ReleaseError
from swarmboot.host.text_files import read_text
from swarmboot.parameters import JSON
from swarmboot.release import layout
from swarmboot.text.addresses import read_server
from swarmboot.text.units import format_size

PI_FOLDER = Path("/var/lib/swarmboot/pxe/rpi")


@click.command()
@click.argument("site", type=click.Path(path_type=Path), default="site")
@click.option("--server", required=True, metavar="URL", callback=lambda _c, _o, url: read_server(url),
              help="The seeder's address for nodes, https://HOST:PORT.")  # fmt: skip
@click.option("--firmware", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Raspberry Pi's own boot files, as in /usr/lib/raspi-firmware.")  # fmt: skip
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE",
              help="The RSA key of 2048 bits to sign with, PEM; its public half is in the boards' EEPROM.")  # fmt: skip
@click.option("--channel", default=layout.DEFAULT_CHANNEL, show_default=True,
              callback=lambda _c, _o, name: layout.check_channel_name(name), help="What to boot.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Lines to add to config.txt, as enable_uart=1.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=PI_FOLDER, show_default=True, metavar="DIR",
              help="Where to write boot.img and boot.sig; `serve` has those of its --state folder.")  # fmt: skip
@JSON
def rpi(
    site: Path, server: str, firmware: Path, key: Path | None, channel: str, config: Path | None, out: Path,
    is_json: bool,
) -> None:  # fmt: skip
    """Write boot.img and boot.sig, from which Raspberry Pi 4 and 5 boot a SITE's release over HTTP.

    SITE is the folder `site` here without it.

    \b
    Example:
      openssl genrsa -out pi.pem 2048
      swarmboot pxe rpi site/ --server https://10.0.0.1:8470 --firmware /usr/lib/raspi-firmware --key pi.pem
    """
    from seeder.boot_script.kernel_cmdline import node_cmdline
    from seeder.boot_script.load import stage0_of
    from seeder.site.device_trees import trees_path
    from seeder.site.reader import pointed_number, read_unbelieved
    from seeder.stage0.pi_image import boot_files, checked_blob, read_key, write_image

    layout.check_site(site)
    signing = read_key(key) if key else None
    manifest = read_unbelieved(site, pointed_number(site, channel))
    stage0 = stage0_of(manifest)
    if stage0 is None or stage0.initramfs is None:
        raise ReleaseError(
            f"release {manifest.sequence} has no kernel and initramfs for a Raspberry Pi",
            expected="vmlinuz and initramfs.img for arm64 in it",
            found="none" if stage0 is None else "one unified kernel image",
        )
    other = channel if channel != layout.DEFAULT_CHANNEL else ""
    files = boot_files(
        kernel=checked_blob(site, stage0.kernel),
        initramfs=checked_blob(site, stage0.initramfs),
        cmdline=str(node_cmdline(stage0, mac="", server=server, channel=other)),
        firmware=firmware,
        trees=site / trees_path(stage0.kernel.sha256),
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
