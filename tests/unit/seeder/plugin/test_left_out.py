"""What a build leaves behind, by path."""

from __future__ import annotations

import pytest

from seeder.plugin.left_out import why_left_out


@pytest.mark.parametrize(
    ("path", "kind", "why"),
    [
        ("tmp/x", "file", "passing files"),
        ("tmp/x", "whiteout", "passing files"),
        ("tmpfiles", "file", ""),
        ("srv/tmp/x", "file", ""),
        ("var/lib/apt/lists/x_Packages", "file", "lists and archives of packages"),
        ("var/lib/apt/extended_states", "file", ""),
        ("var/cache/nginx", "folder", ""),
        ("var/log/nginx", "folder", ""),
        ("var/log/dpkg.log", "file", "logs"),
        ("var/log/wtmp", "whiteout", ""),
        ("usr/lib/python3/x/__pycache__/a.cpython-311.pyc", "file", "caches"),
        ("var/lib/dpkg/status-old", "file", "locks and copies of old lists"),
        ("var/lib/dpkg/status", "file", ""),
        ("etc/passwd-", "file", "locks and copies of old lists"),
        ("etc/machine-id", "file", "machine ids"),
        ("etc/machine-id", "whiteout", ""),
        ("etc/ssh/ssh_host_ed25519_key", "file", "keys of one machine"),
        ("etc/ssh/ssh_host_ed25519_key.pub", "file", "keys of one machine"),
        ("etc/ssh/sshd_config", "file", ""),
        ("root/.bash_history", "file", "traces of a shell"),
        ("root/.cache/pip/x", "file", "caches"),
    ],
)
def test_what_is_one_machines_own_or_passing_is_left_out(path: str, kind: str, why: str) -> None:
    assert why_left_out(path, kind) == why
