#!/bin/sh
# systemd-pull (importctl, machinectl pull-raw, rd.systemd.pull=): what it needs to fetch anything.
#
# One would expect: `apt install systemd-container` brings what its program for downloads is made for, and a library that is
# missing is named, as the dynamic loader names it.
# What happens: systemd 257 is linked with libcurl, and Debian's package depends on it. 262 loads nearly all of its
# libraries when it wants them (dlopen), the package merely suggests libcurl, and without it each download ends before
# anybody was asked: "Failed to allocate puller: Operation not supported", of whatever URL. What is missing is said at
# debug level alone, and ldd does not name it either.
# Whom it hurts: machines that fetch their root or images by systemd, above all in an initramfs, where nobody sets a log
# level; and whoever puts an initramfs together by ldd.
# Needs root, dpkg, curl, chroot, binutils and Debian's mirror or snapshot; asks for 8 MB; takes a few seconds.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian older 20261130T000000Z s/systemd/systemd-container_257.13-1~deb13u1
unpack_debian newer 20261130T000000Z s/systemd/systemd-container_262.1-1 s/systemd/libsystemd-shared_262.1-1 \
    g/glibc/libc6_2.43-7
ln -s usr/lib usr/lib64 newer
mkdir newer/images

linked() { readelf --dynamic "$1/usr/lib/systemd/systemd-pull" | grep -c 'NEEDED.*libcurl' || :; }
wanted() { sed -n 's/^\([A-Z][a-z]*\):.*libcurl4.*/\1/p' "$1/packages" | sort -u | paste -s -d ' '; }
pull() { # pull LEVEL: print what it says of a download
    env SYSTEMD_LOG_LEVEL="$1" chroot newer /usr/lib/systemd/systemd-pull raw --verify=no --image-root=/images \
        http://127.0.0.1/root.raw root 2>said && exit 1
    grep -E "^Failed|^Shared library 'libcurl" said | paste -s -d ';'
}
plain=$(pull info)
debug=$(pull debug)
echo "systemd 257.13-1~deb13u1: linked with libcurl: $(linked older), Debian's package has it in: $(wanted older)"
echo "systemd 262.1-1: linked with libcurl: $(linked newer), Debian's package has it in: $(wanted newer); it says: $plain"
echo "at debug level: $debug"
[ "$(linked older), $(wanted older); $(linked newer), $(wanted newer)" = '1, Depends; 0, Suggests' ] &&
    [ "$plain" = 'Failed to allocate puller: Operation not supported' ] && [ "$debug" != "${debug#Shared}" ] ||
    { echo 'the behaviour has changed'; exit 1; }
