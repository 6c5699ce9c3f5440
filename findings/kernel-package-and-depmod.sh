#!/bin/sh
# depmod -b: Debian's kernel in a folder, to build an initramfs for a machine that has another Debian than this one.
#
# One would expect: `dpkg -x linux-image-*.deb FOLDER` and `depmod -b FOLDER VERSION` make modules.dep, as they do with
# the kernels of Debian 12; Debian's own depmod finds the modules of Debian's own package at the least.
# What happens: since Debian 13 the package has them in usr/lib/modules, and depmod looks in FOLDER/lib/modules and ends
# with status 1: Debian 12's (kmod 30), and Debian 13's (34.2) as well, which finds them on a running machine through the
# link /lib alone. `depmod -b FOLDER/usr VERSION` works with both. In sid (Linux 7.2) a kernel is several packages, none
# of which has a /boot: vmlinuz and config lie beside the modules, without the version in their names.
# Whom it hurts: what makes an initramfs, a stick or a folder for network boot of unpacked kernels.
# Needs dpkg, curl, kmod's libraries and Debian's mirror or snapshot; asks for 40 MB; takes half a minute.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
kernel=6.12.117+deb13-cloud-amd64
unpack_debian kernel 20261130T000000Z "l/linux-signed-amd64/linux-image-${kernel}_6.12.117-1"
unpack_debian sid 20261130T000000Z l/linux/linux-base-7.2.13+deb14-cloud-amd64_7.2.13-1
unpack_debian bookworm 20261030T000000Z k/kmod/kmod_30+20221128-1 k/kmod/libkmod2_30+20221128-1
unpack_debian trixie 20261130T000000Z k/kmod/kmod_34.2-2 k/kmod/libkmod2_34.2-2 g/glibc/libc6_2.41-12+deb13u5

bookworm() { LD_LIBRARY_PATH=$work/bookworm/lib/x86_64-linux-gnu bookworm/sbin/depmod "$@"; }
trixie() {
    "trixie/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --argv0 depmod \
        --library-path trixie/usr/lib/x86_64-linux-gnu trixie/usr/bin/kmod "$@"
}

is_as_expected=yes
for suite in bookworm trixie; do
    "$suite" -b kernel "$kernel" 2>said && plain=0 || plain=$?
    [ -e "kernel/usr/lib/modules/$kernel/modules.dep" ] && is_as_expected=no
    "$suite" -b kernel/usr "$kernel" && below=0 || below=$?
    listed=$(grep -c '\.ko' "kernel/usr/lib/modules/$kernel/modules.dep" || :)
    echo "$($suite --version | head -n 1), Linux 6.12.117-1: -b FOLDER ends with $plain ($(grep -o -m 1 'could not open directory' said))," \
        "-b FOLDER/usr with $below: $listed modules"
    [ "$plain" = 1 ] && [ "$below" = 0 ] && [ "$listed" -gt 100 ] || is_as_expected=no
    rm -f "kernel/usr/lib/modules/$kernel/modules.dep"
done
configs=$(cd sid && find . -name '*config*' | paste -s -d ' ')
echo "Linux 7.2.13-1, what it was built with: $configs"
[ "$configs" = ./usr/lib/modules/7.2.13+deb14-cloud-amd64/config ] || is_as_expected=no
[ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
