#!/bin/sh
# squashfs and mksquashfs: a program that reads many small files, as Python does, from an image in xz.
#
# One would expect: each block of an image is unpacked once, because the page cache keeps what it held; so that the price
# of xz is that of unpacking the image.
# What happens: files below the block's size are packed together into fragments, in the order of folders. A read unpacks
# a whole fragment and keeps the pages of the one file that was read; of unpacked fragments three are kept
# (CONFIG_SQUASHFS_FRAGMENT_CACHE_SIZE). Imports go to and fro between packages, so that the same fragments are unpacked
# again and again. With the files in the order of reading (mksquashfs -sort) each is unpacked once, at the same size.
# Whom it hurts: live systems, initramfs, snaps and AppImages with a Python in them, on a slow core most of all.
# Needs root, apt, Linux with squashfs, xz and loop devices; mounts in a mount namespace of its own; takes a minute.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python=3.11.2-6+deb12u8
apt-get -o APT::Sandbox::User=root --quiet=2 download squashfs-tools=1:4.5.1-1 python3.11-minimal=$python \
    libpython3.11-minimal=$python libpython3.11-stdlib=$python
dpkg -x squashfs-tools_*.deb tools
for package in *python3.11*.deb; do dpkg -x "$package" tree; done

cat >inside.sh <<'INSIDE'
set -eu
import() { # system seconds of one Python that loads a good part of its library from image $1, then what it loaded
    mount -t squashfs -o loop,ro "$1" image
    PYTHONHOME=$PWD/image/usr image/usr/bin/python3.11 -S -B -c '
import asyncio, concurrent.futures, ctypes, email.message, http.server, json, logging.handlers, multiprocessing.pool
import os, ssl, sys, tarfile, unittest.mock, urllib.request, xml.etree.ElementTree, zipfile
print(os.times().system)
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))'
    umount image
}
pack() { tools/usr/bin/mksquashfs tree "$@" -comp xz -b 1M -noappend -no-progress -quiet >/dev/null; }
mkdir image
pack folders.squashfs
import folders.squashfs >folders
sed -n "s|^$PWD/image/||p" folders | awk '!seen[$0]++ {print $0, 32767 - n++}' >order
pack reading.squashfs -sort order
import reading.squashfs >reading
awk -v folders="$(head -n 1 folders)" -v reading="$(head -n 1 reading)" \
    -v size="$(stat -c %s folders.squashfs)" -v sorted="$(stat -c %s reading.squashfs)" -v linux="$(uname -r | cut -d . -f 1-2)" '
BEGIN {
    printf "mksquashfs 4.5.1, Linux %s: Python loads from an image in order of folders (%.1f MB) in %.2f s of system time, ", linux, size / 1e6, folders
    printf "in order of reading (%.1f MB) in %.2f s\n", sorted / 1e6, reading
    exit !(folders > 1.5 * reading)
}'
INSIDE
unshare --mount --propagation private -- sh inside.sh || { echo 'the behaviour has changed'; exit 1; }
