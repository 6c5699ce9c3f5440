"""The verb `swarmboot ca`: the authority that nodes know the server by, before there is a server."""

from __future__ import annotations

import json
from pathlib import Path

import click
from cryptography.hazmat.primitives import hashes

from seeder.http.authority import first_certificate, make_authority
from seeder.record.place import state_folder
from swarmboot.crypto.validity import validity
from swarmboot.host.files import write_whole
from swarmboot.parameters import JSON


@click.command()
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the authority, as of `serve`.  "
                   "[default: /var/lib/swarmboot for root, else ~/.local/state/swarmboot]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write its certificate here as well.")
@JSON
def ca(state: Path | None, out: Path | None, is_json: bool) -> None:
    """Make the private authority of `serve` without serving, and say where its certificate is.

    Nodes' initramfs need the certificate; its key stays in the state folder. One that is there is kept.

    \b
    Example:
      swarmboot ca --out ca.pem
      swarmboot hook build-initramfs --kernel VERSION --out initramfs.img --trust swarmboot.pub --ca ca.pem
    """
    path = make_authority(state or state_folder())
    certificate = first_certificate(path)
    if out is not None:
        write_whole(out, path.read_bytes(), mode=0o644)
    facts = {
        "authority": str(path),
        "ends": f"{validity(certificate).ends:%Y-%m-%d}",
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "written": str(out) if out else None,
    }
    lines = [f"authority: {path}, valid until {facts['ends']}, SHA-256 {facts['sha256']}"]
    lines += [f"written to {out}: for `hook build-initramfs --ca`, and `fetch --ca`"] if out else []
    click.echo(json.dumps(facts) if is_json else "\n".join(lines))
