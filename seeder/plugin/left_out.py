"""What a build leaves behind that no node is to get: caches, logs, what is one machine's own. Pure.

Paths have no leading slash. What is left out is as if the build had not touched it.
"""

from __future__ import annotations

import re

_PLACES = (
    ("passing files", "tmp|var/tmp|run|dev|proc|sys"),
    ("lists and archives of packages", "var/cache/apt|var/lib/apt/lists"),
    ("caches", r"var/cache/(?:debconf|fontconfig|ldconfig|man)|(?:root|home/[^/]+)/\.cache"),
)
_FILES = (
    ("logs", r"var/log/.*"),
    ("caches", r"(?:.*/)?__pycache__(?:/.*)?"),
    (
        "locks and copies of old lists",
        r"var/lib/dpkg/(?:lock[^/]*|triggers/Lock|[^/]*-old)|etc/(?:(?:passwd|g?shadow|group|sub[ug]id)-|\.pwd\.lock)",
    ),
    ("machine ids", r"etc/machine-id|var/lib/dbus/machine-id"),
    (
        "keys of one machine",
        r"etc/ssh/ssh_host_[^/]*_key(?:\.pub)?|etc/ssl/(?:private|certs)/ssl-cert-snakeoil\.[a-z]+",
    ),
    ("seeds of one machine", r"var/lib/systemd/(?:random-seed|credential\.secret)"),
    (
        "traces of a shell",
        r"(?:root|home/[^/]+)/\.(?:(?:bash|ash|python)_history|lesshst|viminfo|wget-hsts|sudo_as_admin_successful)",
    ),
)
_PLACE = [(what, re.compile(rf"(?:{pattern})(?:/.*)?\Z", re.DOTALL)) for what, pattern in _PLACES]
_FILE = [(what, re.compile(rf"(?:{pattern})\Z", re.DOTALL)) for what, pattern in _FILES]


def why_left_out(path: str, kind: str) -> str:
    """Return what a path of this kind (as in `swarmboot.archive`, or "whiteout") is left out as; nothing if it is kept.

    What the build has taken away stays away, but for passing files and caches. A folder for logs is kept.
    """
    for what, pattern in _PLACE:
        if pattern.match(path):
            return what
    if kind == "whiteout":
        return ""
    for what, pattern in _FILE:
        if pattern.match(path) and (kind != "folder" or what != "logs"):
            return what
    return ""
