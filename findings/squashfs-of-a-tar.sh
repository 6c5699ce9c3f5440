#!/bin/sh
# mksquashfs: a root file system that goes to it as a tar archive (`-tar`, sqfstar), which needs no root user.
#
# One would expect: the image's root folder has what the archive says of `./`; so tar(1) and bsdtar(1) do.
# What happens: `./` is passed over ("Empty tar filename ... ignoring"), and the root folder has mode 0777 and the time
# of now. -root-mode and -root-uid are obeyed, -root-time is not. So / is writable for everybody
# on the machine that boots it, and the same archive makes another image every second.
# Whom it hurts: who turns container layers or an initramfs into root images for diskless machines or live systems.
# Needs apt and tar; no root.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root --quiet=2 download squashfs-tools=1:4.5.1-1
dpkg -x squashfs-tools_*.deb tools

mkdir tree
echo x >tree/file
chmod 0750 tree
touch --date=@1600000000 tree tree/file
image() { # image NAME OPTION...: make an image of the tree by way of tar, and say mode and time of its root folder
    name=$1
    shift
    tar -C tree --owner=0 --group=0 -cf - . |
        tools/usr/bin/mksquashfs - "$name" -tar -noappend -no-progress -quiet -mkfs-time 0 "$@" >/dev/null 2>said
    TZ=UTC tools/usr/bin/unsquashfs -lln "$name" | awk '/squashfs-root$/ {print $1, $4}'
}
plain=$(image plain.squashfs)
told=$(image told.squashfs -root-mode 0750 -root-time 1600000000)
echo "mksquashfs 4.5.1 -tar, of a folder with mode 0750 and time 2020-09-13: root folder $plain; told -root-mode 0750"
echo "and -root-time: $told; it says: $(cat said)"
today=$(date -u +%Y-%m-%d)
[ "$plain" = "drwxrwxrwx $today" ] && [ "$told" = "drwxr-x--- $today" ] || { echo 'the behaviour has changed'; exit 1; }
