#!/bin/sh
# A FUSE server without libfuse, and the error by which read(2) of /dev/fuse says that the file system is gone.
#
# One would expect: ENODEV, which libfuse takes for the end of a mount ("filesystem unmounted"), and ECONNABORTED only of
# a connection that was aborted through /sys/fs/fuse/connections after FUSE_ABORT_ERROR had been agreed on.
# What happens: of several threads that read one descriptor most end with ENODEV, and the one that had just taken a
# request up, the last file's RELEASE mostly, ends with ECONNABORTED: one of some hundred unmounts, nothing agreed on.
# Whom it hurts: whoever serves FUSE with threads of his own and takes every error but ENODEV for a fault: once in
# hundreds of times a clean unmount is one.
# Needs root, python3 and FUSE; no package; mounts in a mount namespace of its own; takes some seconds.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir mounted

cat >serve.py <<'PYTHON'
"""Mount, read a file, unmount and close it, 3,000 times, with four threads that answer; count how their reads end.

Messages are those of linux/fuse.h, protocol 7.31.
"""
import collections
import ctypes
import errno
import os
import struct
import threading

FORGET, GETATTR, OPEN, READ, INIT, BATCH_FORGET, LOOKUP = 2, 3, 14, 15, 26, 42, 1
MNT_DETACH, NOSUID, TURNS = 2, 2, 3000
libc = ctypes.CDLL(None, use_errno=True)


def attributes(node):
    mode = 0o40755 if node == 1 else 0o100444
    return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


BODIES = {
    INIT: lambda node: struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, *[0] * 8),
    LOOKUP: lambda node: struct.pack("<4Q2I", 2, 0, 60, 60, 0, 0) + attributes(2),
    GETATTR: lambda node: struct.pack("<Q2I", 60, 0, 0) + attributes(node),
    OPEN: lambda node: struct.pack("<Q2I", 0, 1, 0),
    READ: lambda node: bytes(4096),
}


def serve(descriptor, ends):
    while True:
        try:
            request = os.read(descriptor, 1 << 17)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                continue
            ends.append(errno.errorcode[error.errno])
            return
        _, operation, number, node = struct.unpack_from("<2I2Q", request)
        if operation not in (FORGET, BATCH_FORGET):
            body = BODIES.get(operation, lambda node: b"")(node)
            try:
                os.write(descriptor, struct.pack("<IiQ", 16 + len(body), 0, number) + body)
            except OSError:
                pass  # whoever asked waits no longer


ends = []
for _ in range(TURNS):
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"fuse", b"mounted", b"fuse", NOSUID, options):
        raise OSError(ctypes.get_errno(), "mount")
    threads = [threading.Thread(target=serve, args=(descriptor, ends)) for _ in range(4)]
    for thread in threads:
        thread.start()
    with open("mounted/file", "rb") as file:
        file.read(4096)
        libc.umount2(b"mounted", MNT_DETACH)
    for thread in threads:
        thread.join()
    os.close(descriptor)
counts = collections.Counter(ends)
print(f"Linux {os.uname().release.split('-')[0]}, {TURNS} clean unmounts, four readers each: {dict(counts)}")
raise SystemExit(not (counts["ECONNABORTED"] and counts["ENODEV"] > counts["ECONNABORTED"]))
PYTHON
unshare --mount --propagation private -- python3 serve.py || { echo 'the behaviour has changed'; exit 1; }
