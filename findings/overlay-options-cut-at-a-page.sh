#!/bin/sh
# mount(2), overlayfs, BusyBox: an overlay of more layers than fit into one page of options.
#
# One would expect: a mount whose options are too long fails, as any call with an argument that is too long does.
# What happens: mount(2) copies one page, cuts what comes after it and goes on. With `lowerdir=` last, the overlay is
# made of the layers that still fit: exit status 0, the lowest layers are missing. With upperdir= and workdir= behind
# lowerdir=, as is usual, it is also read-only. BusyBox's mount, which is what an initramfs has, hands the string on as it is.
# Whom it hurts: live systems and diskless nodes that stack many layers (the root image is the lowest, so it goes first),
# container tools without the new mount API.
# Needs root, apt and Linux; makes a tmpfs in a mount namespace of its own; takes a few seconds.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root --quiet=2 download busybox-static=1:1.35.0-4+deb12u1+b1
dpkg -x busybox-static_*.deb busybox

cat >inside.sh <<'INSIDE'
set -eu
busybox=$1/busybox/bin/busybox
mount -t tmpfs none "$1/busybox/mnt"
cd "$1/busybox/mnt"
layers=480
number=0
lower=
while [ $number -lt $layers ]; do # of nine bytes each with its colon: the page ends between two of them
    name=layer$((100 + number))
    mkdir $name
    : >$name/file-$number
    lower=$lower${lower:+:}$name
    number=$((number + 1))
done
mkdir upper work merged
"$busybox" mount -t overlay -o "index=off,lowerdir=$lower,upperdir=upper,workdir=work" none merged
there=$(find merged -name 'file-*' | wc -l)
if touch merged/new 2>/dev/null; then writable=yes; else writable=no; fi
echo "$("$busybox" | head -n 1 | cut -d ' ' -f 1-2), Linux $(uname -r | cut -d . -f 1-2): mount of $layers layers ends with 0; there: $there; writable: $writable"
[ "$there" -lt $layers ] && [ $writable = no ]
INSIDE
mkdir busybox/mnt
unshare --mount --propagation private -- sh inside.sh "$work" || { echo 'the behaviour has changed'; exit 1; }
