#!/bin/sh
# squashfs, listxattr(2): the extended attributes of a file that has two names, in an image without any attributes.
#
# One would expect: a list of none, as for every other file of the image; or ENOTSUP for all of them.
# What happens: a file with one name has none, with success. A file with a hard link is stored as another kind of inode,
# whose operations ask for the image's table of attributes; there is none, so it is answered ENOTSUP. The same tree with
# one attribute anywhere in it answers as expected (fs/squashfs/inode.c, xattr.c).
# Whom it hurts: who copies or checks a mounted squashfs with its attributes and takes that error for a broken image.
# Needs root, apt, mount, python3 and Linux; mounts in a namespace of its own.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root --quiet=2 download squashfs-tools=1:4.5.1-1
dpkg -x squashfs-tools_*.deb tools

mkdir tree mounted
echo x >tree/one
echo x >tree/two
ln tree/two tree/too
tools/usr/bin/mksquashfs tree image.squashfs -noappend -no-progress -quiet
cat >ask.py <<'ASK'
import errno
import os


def said(name: str) -> str:
    try:
        return str(os.listxattr(f"mounted/{name}"))
    except OSError as error:
        return errno.errorcode[error.errno]


print(said("one"), said("two"))
ASK
said=$(unshare --mount --propagation private -- sh -ec 'mount -t squashfs -o loop,ro image.squashfs mounted; python3 ask.py')
echo "Linux $(uname -r | cut -d . -f 1-2), mksquashfs 4.5.1: attributes of a file with one name, and with two: $said"
[ "$said" = '[] EOPNOTSUPP' ] || [ "$said" = '[] ENOTSUP' ] || { echo 'the behaviour has changed'; exit 1; }
