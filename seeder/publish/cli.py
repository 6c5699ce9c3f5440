"""The publisher's commands: keygen, publish, verify, rotate, prune. Click and words only; the work is elsewhere."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seeder.publish.asked import Stage0Asked
from seeder.publish.keys_at_hand import known_keys, make_key, signing_keys
from swarmboot import completion
from swarmboot.crypto.fleet_token import FleetToken, read_tokens, write_token
from swarmboot.errors import KeyFileError, MalformedSettingError, SiteError
from swarmboot.parameters import JSON, RATE, SIZE, duration
from swarmboot.printable import printable
from swarmboot.release import key_files
from swarmboot.release.layout import DEFAULT_CHANNEL, check_channel_name, check_fleet_name, check_site

if TYPE_CHECKING:
    from seeder.publish.known_systems import System
    from seeder.publish.publish import Published, PublishOptions
    from seeder.publish.verdict import Manner
    from seeder.site.writer import SiteWriter

_PATH = click.Path(path_type=Path)


_MADE = {
    "fleet_token": "fleet token: {} (a secret: whoever holds it is taken for one of the fleet's nodes)",
    "key": "signing key: {} (keep it offline; whoever holds it decides what nodes boot)",
    "public_key": "public key:  {} (give it to the nodes)",
}
_LIFE = duration(1, "from 1s to 36500d")


@click.command()
@click.option("--out", type=_PATH, metavar="DIR", help="Folder to put the two files of a key pair into.")
@click.option("--fleet-token", type=_PATH, metavar="FILE", help="Make a fleet token in this file.")
@JSON
def keygen(out: Path | None, fleet_token: Path | None, is_json: bool) -> None:
    """Make a signing key and its public half, or a fleet token.

    The key signs releases and stays with you; the public half goes into the nodes' initramfs. A fleet token, if you
    want one, goes to `serve`, to `publish` where there are secret settings, and into the nodes' initramfs.

    \b
    Example:
      swarmboot keygen --out ~/fleet-keys
      swarmboot keygen --fleet-token ~/fleet-keys/fleet.token
    """
    if out is None and fleet_token is None:
        raise MalformedSettingError("nothing to make", expected="--out DIR or --fleet-token FILE", found="neither")
    made: dict[str, str] = {}
    try:
        if fleet_token is not None:
            write_token(fleet_token)
            made["fleet_token"] = str(fleet_token)
        if out is not None:
            made["key"], made["public_key"] = map(str, key_files.write_pair(out))
    finally:
        if made:
            _print([_MADE[what].format(path) for what, path in made.items()], made, is_json=is_json)


@click.command()
@click.argument("release", type=_PATH)
@click.option("--site", type=_PATH, metavar="DIR", help="Where to publish; `site` beside RELEASE without it.")
@click.option("--key", "keys", type=_PATH, multiple=True, envvar="SWARMBOOT_KEY", metavar="FILE",
              help="Signing key; repeat it to sign with several.  [env: SWARMBOOT_KEY]")  # fmt: skip
@click.option("--channel", default=DEFAULT_CHANNEL, show_default=True, help="Channel to point to the release.",
              shell_complete=completion.channels)  # fmt: skip
@click.option("--fleet", default="", help="Name of the fleet; the site's own without it.")
@click.option("--expires", "life_s", type=_LIFE, metavar="DURATION",
              help="How long the release may be booted.  [default: 365d]")  # fmt: skip
@click.option("--pointer-expires", "pointer_life_s", type=_LIFE, metavar="DURATION",
              help="How long nodes may take this for the newest: publish again, as from cron, before.")  # fmt: skip
@click.option("--piece", "piece_bytes", type=SIZE, default=0, metavar="SIZE",
              help="Piece length; chosen by size without it.")  # fmt: skip
@click.option("--trust", type=_PATH, multiple=True, metavar="PUB",
              help="Public keys the nodes are built with: refuse to sign with too few of them.")  # fmt: skip
@click.option("--new-keys", is_flag=True, help="Sign with other keys than before: nodes are rebuilt with them.")
@click.option("--fleet-token", type=_PATH, metavar="FILE",
              help="Seal the release's secret settings for the holders of this token.")  # fmt: skip
@click.option("--trace", type=_PATH, metavar="FILE", help="What a boot reads, in order: nodes fetch that first.")
@click.option("--sort", "is_sorted", is_flag=True,
              help="Pack the trace's squashfs images again in its order; needs root and squashfs-tools.")  # fmt: skip
@click.option("--nodes", type=click.IntRange(min=0), default=0, metavar="N", help="Say what stage 0 costs N nodes.")
@click.option("--uplink", "uplink_bytes_per_s", type=RATE, default="1gbit", show_default=True, metavar="RATE",
              help="The server's link, for --nodes.")  # fmt: skip
@click.option("--stage0-key", type=_PATH, metavar="DIR",
              help="Sign kernel and initramfs for iPXE's imgverify with the key in DIR, made if need be.")  # fmt: skip
@click.option(
    "--uki", is_flag=True, help="Publish kernel and initramfs as one unified kernel image, for UEFI only (needs ukify)."
)
@click.option("--secureboot-key", type=_PATH, metavar="FILE", help="Sign it with this key, PEM (needs sbsign).")
@click.option("--secureboot-cert", type=_PATH, metavar="FILE", help="The certificate that Secure Boot knows, PEM.")
@click.option("--systemd", "is_systemd", is_flag=True,
              help="Write beside it what systemd boots it by, without our hook (docs/systemd.md).")  # fmt: skip
@click.option("--systemd-key", metavar="KEY", help="Sign that with this key of your gpg keyring; implies --systemd.")
@click.option("--check", "is_check", is_flag=True, help="Only look at RELEASE and say what is found; write nothing.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be published and copied; write nothing.")
@click.option("--force", "is_forced", is_flag=True, help="Publish it although no machine can boot it.")
@JSON
def publish(
    release: Path, site: Path | None, keys: tuple[Path, ...], channel: str, fleet: str, life_s: float | None,
    pointer_life_s: float | None, piece_bytes: int, trust: tuple[Path, ...], new_keys: bool, fleet_token: Path | None,
    trace: Path | None, is_sorted: bool, is_check: bool, is_dry: bool, is_forced: bool, is_json: bool,
    **stage0: Any,
) -> None:  # fmt: skip
    """Publish the RELEASE directory as a signed, content-addressed site.

    RELEASE holds rootfs.squashfs and, if you like, vmlinuz, initramfs.img, plugins/, env/, nodes/, dtb/ and
    release.toml (docs/release.md). Without --key your own signing key is taken, and made the first time. Publishing the
    same release again changes nothing. What no machine could boot is refused, unless --force. Taken over as they are:
    Coinboot's server folder (docs/coinboot.md), and Debian Live's netboot.tar, ISO or folder (docs/debian-live.md).

    \b
    Example:
      swarmboot publish release/ --check
      swarmboot publish release/ --dry-run
      swarmboot publish release/
      swarmboot publish release/ --site /srv/site --key ~/fleet-keys/swarmboot.key
      swarmboot publish live-image-amd64.netboot.tar
    """
    from seeder.publish.images.traced import read_trace
    from seeder.publish.known_systems import known_system, nothing_known
    from seeder.publish.publish import PublishOptions
    from seeder.publish.verdict import Manner

    site, asked = site or beside(release), Stage0Asked(**stage0)
    if system := known_system(release):
        if is_check or is_dry:
            lines, facts = system.look_at(release)
            _print(lines, facts, is_json=is_json)
            return
        system.check_tools(release)
        asked.check_tools()
        release = _taken_over(system, release, keys, site, trust, is_quiet=is_json)
    elif release.is_file():
        raise nothing_known(release)
    options = PublishOptions(
        channel=check_channel_name(channel),
        fleet=check_fleet_name(fleet) if fleet else "",
        life_s=life_s,
        pointer_life_s=pointer_life_s,
        piece_bytes=piece_bytes,
        trust=key_files.read_trust(trust) if trust else None,
        has_new_keys=new_keys,
        tokens=_tokens(fleet_token, [site, release]),
        trace=read_trace(trace) if trace else None,
        is_sorted=is_sorted,
    )
    manner = Manner(is_check=is_check, is_forced=is_forced, is_json=is_json, is_dry=is_dry)
    _publish(release, site, keys, options, asked, manner)


def beside(release: Path) -> Path:
    """Return the site of a release for which none was named: beside its folder, said as the folder was."""
    real = release.resolve().parent
    said = release.parent if release.name not in ("", "..") else release / ".."
    return (said if said.resolve() == real else real) / "site"


def _taken_over(
    system: System, path: Path, keys: tuple[Path, ...], site: Path, trust: tuple[Path, ...], *, is_quiet: bool
) -> Path:
    """Return the release directory that is made of somebody else's system, its initramfs for these keys."""
    from seeder.publish.initramfs_wanted import wanted

    signing = signing_keys(keys, site, is_quiet=is_quiet)
    say = partial(click.echo, err=is_quiet)
    return system.take_over(path, None, wanted(trust, signing), is_kept=True, say=say)[0].release


def _tokens(path: Path | None, public: list[Path]) -> tuple[FleetToken, ...]:
    """Return the fleet tokens in a file; raise KeyFileError if it lies where it is going to be served."""
    if path is None:
        return ()
    if any(path.resolve().is_relative_to(folder.resolve()) for folder in public):
        raise KeyFileError(f"{path} lies in the release or the site", hint="move it elsewhere, and make a new one")
    return read_tokens(path)


def _publish(
    release: Path, site: Path, keys: tuple[Path, ...], options: PublishOptions, stage0: Stage0Asked, manner: Manner
) -> None:
    """Look at a release, publish it and say so."""
    from seeder.publish import publish as work
    from seeder.publish import uki as stage0_uki
    from seeder.publish.images.reading_order import check_sorting, in_order
    from seeder.publish.release_dir import read_release
    from seeder.publish.scratch import scratch_of
    from seeder.publish.verdict import judge, signing_of, with_findings
    from seeder.site.progress import choose_progress
    from seeder.site.writer import writing

    check_sorting(options.trace, is_sorted=options.is_sorted)
    found = read_release(release)
    _check_apart(release, site)
    secureboot = stage0.secureboot()
    known = known_keys(keys, site, is_check=manner.is_check)
    is_known = bool(known) or not manner.is_check
    looked = judge(found, signing_of(site, known, options) if is_known else None, manner)
    if manner.is_check:
        return
    found = with_findings(found, looked)
    stage0.check(found, site, known, options)
    signing = known or [make_key(is_quiet=manner.is_json, is_kept=not manner.is_dry)]
    progress = choose_progress("hashed", is_quiet=manner.is_json)
    with (scratch_of if manner.is_dry else writing)(site) as writer:
        found = stage0_uki.unify(found, writer.site, secureboot, signing) if stage0.uki else found
        with in_order(found, options.trace, writer, is_sorted=options.is_sorted) as ordered:
            published = work.publish(
                ordered.release, signing, writer=writer, options=replace(options, trace=ordered.trace),
                now_unix_s=time.time(), progress=progress,
            )  # fmt: skip
        said = _write_beside(writer, published, stage0, options, manner)
    said += _stage0_costs(published, stage0)
    signers = published.signers if known or not manner.is_dry else ()  # no one's, where the key is still to be made
    _print_published(replace(published, boot=looked.boot, signers=signers), site, said, manner)


def _write_beside(
    writer: SiteWriter, published: Published, stage0: Stage0Asked, options: PublishOptions, manner: Manner
) -> list[str]:
    """Write what firmware and systemd find beside a release, unless it is a dry run; return what there is to say."""
    from seeder.publish.stage0 import sign_stage0, signed_line
    from seeder.publish.systemd_pull import best_before, systemd_lines, write_systemd

    manifest, said = published.manifest, []
    if stage0.stage0_key is not None:
        if not manner.is_dry:
            sign_stage0(writer, manifest, stage0.stage0_key)
        said.append(signed_line(stage0.stage0_key, is_dry=manner.is_dry))
    if stage0.has_systemd:
        now_unix_s = time.time()
        ends_unix_s = min(manifest.expires_unix_s, now_unix_s + (options.pointer_life_s or math.inf))
        day = best_before(ends_unix_s, now_unix_s=now_unix_s)
        if not manner.is_dry:
            write_systemd(writer, manifest, options.channel, stage0.systemd_key, day=day)
        said += systemd_lines(manifest, options.channel, stage0.systemd_key, day=day, is_dry=manner.is_dry)
    return said


def _stage0_costs(published: Published, stage0: Stage0Asked) -> list[str]:
    """Return what stage 0 costs the nodes, in lines."""
    from seeder.publish.stage0 import cost_lines

    image_bytes = published.images_bytes[""]
    return cost_lines(
        published.manifest, nodes=stage0.nodes, image_bytes=image_bytes, uplink_bytes_per_s=stage0.uplink_bytes_per_s
    )


def _print_published(published: Published, site: Path, said: list[str], manner: Manner) -> None:
    """Print what was published, and what was said of its stage 0 before the last line."""
    from seeder.publish.printout import published_lines, published_value

    *lines, last = published_lines(published, site=site, is_dry=manner.is_dry)
    value = {**published_value(published, site=site), "is_dry": manner.is_dry, "stage0": said}
    _print([*lines, *said, last], value, is_json=manner.is_json)


@click.command()
@click.argument("site", type=_PATH)
@click.option(
    "--trust", type=_PATH, multiple=True, required=True, metavar="PUB", help="Public keys that must have signed."
)
@click.option("--channel", default="", help="Check this channel only; all of them without it.",
              shell_complete=completion.channels)  # fmt: skip
@JSON
def verify(site: Path, trust: tuple[Path, ...], channel: str, is_json: bool) -> None:
    """Check a published SITE from its signatures to the last piece of every blob.

    \b
    Example:
      swarmboot verify site/ --trust ~/.config/swarmboot/swarmboot.pub
    """
    from seeder.publish.printout import verified_lines, verified_value
    from seeder.site import verify as work
    from seeder.site.progress import choose_progress

    trusted = key_files.read_trust(trust)
    progress = choose_progress("verified", is_quiet=is_json)
    channel = check_channel_name(channel) if channel else ""
    verified = work.verify_site(site, trusted, channel=channel, now_unix_s=time.time(), progress=progress)
    _print(verified_lines(verified, site=site), verified_value(verified, site=site), is_json=is_json)


@click.command()
@click.argument("site", type=_PATH)
@click.option("--trust", type=_PATH, multiple=True, required=True, metavar="PUB", help="Keys the nodes are built with.")
@click.option(
    "--new-trust", type=_PATH, multiple=True, required=True, metavar="PUB", help="Keys that take their place."
)
@click.option("--key", "keys", type=_PATH, multiple=True, required=True, metavar="FILE",
              help="Signing key, old or new; repeat it until both have enough.")  # fmt: skip
@click.option("--keys-only", is_flag=True,
              help="Issue nothing anew: stolen keys may have signed what the channels point to.")  # fmt: skip
@JSON
def rotate(
    site: Path,
    trust: tuple[Path, ...],
    new_trust: tuple[Path, ...],
    keys: tuple[Path, ...],
    keys_only: bool,
    is_json: bool,
) -> None:
    """Change the keys of a SITE: nodes built with the old ones follow, because the old keys sign the new.

    Everything the channels point to is issued anew, signed by the new keys; with --keys-only that waits for the next
    publish.

    \b
    Example:
      swarmboot rotate site/ --trust old/swarmboot.pub --new-trust new/swarmboot.pub \\
        --key old/swarmboot.key --key new/swarmboot.key
    """
    from seeder.publish.printout import rotated_lines, rotated_value
    from seeder.site import rotate as work
    from seeder.site.writer import writing

    old, new = key_files.read_trust(trust), key_files.read_trust(new_trust)
    signing = signing_keys(keys, site, is_quiet=is_json)
    check_site(site)
    with writing(site) as writer:
        rotated = work.rotate(writer, signing, old=old, new=new, now_unix_s=time.time(), is_reissued=not keys_only)
    _print(rotated_lines(rotated), rotated_value(rotated), is_json=is_json)


@click.command()
@click.argument("site", type=_PATH)
@click.option("--keep", type=click.IntRange(min=1), default=3, show_default=True, help="How many manifests to keep.")
@click.option("--grace", "grace_s", type=duration(0, "0 or longer"), default="1h", show_default=True, metavar="TIME",
              help="Keep for so long what a channel has pointed to; 0 to drop it at once.")  # fmt: skip
@JSON
def prune(site: Path, keep: int, grace_s: float, is_json: bool) -> None:
    """Drop old manifests of a SITE, and the blobs that no other needs.

    What a channel points to always stays, and what one has pointed to within the last hour: nodes may be booting it.

    \b
    Example:
      swarmboot prune site/ --keep 5
    """
    from seeder.publish.printout import pruned_lines, pruned_value
    from seeder.site import prune as work
    from seeder.site.writer import writing

    check_site(site)
    with writing(site) as writer:
        pruned = work.prune(writer, keep=keep, grace_s=grace_s, now_unix_s=time.time())
    _print(pruned_lines(pruned), pruned_value(pruned), is_json=is_json)


def _print(lines: list[str], value: dict[str, Any], *, is_json: bool) -> None:
    click.echo(json.dumps(value) if is_json else "\n".join(map(printable, lines)))


def _check_apart(release: Path, site: Path) -> None:
    """Raise SiteError if the site would be written into the release, or the release is read from the site."""
    inner, outer = site.resolve(), release.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner / "blobs"):
        raise SiteError(f"the site {site} lies in the release {release}", hint="choose another folder with --site")
