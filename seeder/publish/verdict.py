"""What `publish` does with what was found: says all of it, then goes on or refuses. It reads the site and prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seeder.boot_script.kernel_cmdline import check_carried
from seeder.publish.check.finding import Finding
from seeder.publish.check.look import Looked, look
from seeder.publish.check.stage0 import Signing
from seeder.publish.publish import DEFAULT_FLEET, PublishOptions
from seeder.publish.release_dir import Release
from seeder.site.numbers import next_number
from seeder.site.reader import read_own_channel
from seeder.site.signers import own_keys, signer_ids
from swarmboot.errors import CannotBootError, ReleaseError
from swarmboot.ids import MAX_SEQUENCE
from swarmboot.printable import printable
from swarmboot.release import layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What becomes of what is found: is looking all, is the release published all the same, is it said as JSON?

    `is_dry` says that nothing is written.
    """

    is_check: bool
    is_forced: bool
    is_json: bool
    is_dry: bool = False


def signing_of(site: Path, keys: Sequence[Ed25519PrivateKey], options: PublishOptions) -> Signing:
    """Return what a publish into the site would sign with."""
    current = read_own_channel(site, options.channel, own_keys(keys)) if keys else None
    return Signing(
        signers=signer_ids(keys),
        rotations=() if options.has_new_keys else tuple(layout.rotations(site)),
        fleet=options.fleet or (current.manifest.fleet if current else DEFAULT_FLEET),
        sequence=_next_number(site),
    )


def _next_number(site: Path) -> int:
    """Return the number of the site's next manifest, the largest of all if there is none left."""
    try:
        return next_number(site)
    except ReleaseError:
        return MAX_SEQUENCE


def judge(release: Release, signing: Signing | None, manner: Manner) -> Looked:
    """Return what was found in a release, having said it if that is all that is asked for.

    Raises CannotBootError, having said all reasons, for a release that no machine can boot, unless it is forced; and
    ReleaseError, forced or not, if its words would be taken for script by what loads a machine.
    """
    looked = look(release, signing)
    is_refused = bool(looked.fatal) and (manner.is_check or not manner.is_forced)
    if manner.is_check and manner.is_json:
        click.echo(json.dumps(_value(release, looked)))
    elif manner.is_check or is_refused:
        for line in _lines(release, looked):
            click.echo(printable(line), err=is_refused)
    if is_refused:
        count = len(looked.fatal)
        raise CannotBootError(
            f"no machine can boot {release.folder}, for {'the reason' if count == 1 else f'the {count} reasons'} above",
            hint="mend it, or publish it as it is with --force",
        )
    check_carried(release.name, release.settings.cmdline, release.settings.profiles)
    return looked


def with_findings(release: Release, looked: Looked) -> Release:
    """Return a release that is going to be published with what was found among its notes."""
    forced = (f"published all the same: {finding.line}" for finding in looked.fatal)
    notes = (*release.notes, *forced, *(finding.line for finding in looked.notes))
    return replace(release, notes=notes, counted=looked.counted)


def _lines(release: Release, looked: Looked) -> list[str]:
    lines = [f"refused: {finding.line}" for finding in looked.fatal]
    lines += [f"note: {note}" for note in (*release.notes, *(finding.line for finding in looked.notes))]
    return lines or [f"{release.folder}: nothing was found that speaks against booting it"]


def _value(release: Release, looked: Looked) -> dict[str, object]:
    notes = (*(Finding(note) for note in release.notes), *looked.notes)
    return {
        "release": str(release.folder),
        "can_boot": not looked.fatal,
        "findings": [finding.value for finding in (*looked.fatal, *notes)],
    }
