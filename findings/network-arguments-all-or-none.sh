#!/bin/sh
# systemd-network-generator: kernel arguments for the network that were right for years, and one of which it does not know.
#
# One would expect: ip= is understood as by the kernel and by klibc's ipconfig, where fields at the end may be left out,
# and `both` is a protocol (nfsroot.rst); and of several arguments one that is not understood is named and passed over.
# What happens: an ip= without its seventh field (`ip=ADDRESS::GATEWAY:NETMASK::CARD`), or `ip=both`, ends the program with
# "Failed to parse kernel command line: Invalid argument", which names none, and no .network file is made of any
# argument: `ip=card1:dhcp` beside it is lost as well. So no card is configured.
# Whom it hurts: whoever goes from initramfs-tools to dracut with the command lines that there are: machines come up without
# an address, with that one line in a journal that nobody can read from afar.
# Needs root, dpkg, curl, ip and Debian's mirror or snapshot; asks for 15 MB; takes half a minute.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian klibc 20261030T000000Z k/klibc/klibc-utils_2.0.12-1 k/klibc/libklibc_2.0.12-1
unpack_debian 252 20261030T000000Z s/systemd/systemd_252.39-1~deb12u2 s/systemd/libsystemd-shared_252.39-1~deb12u2
unpack_debian 262 20261130T000000Z s/systemd/systemd_262.1-1 s/systemd/libsystemd-shared_262.1-1 g/glibc/libc6_2.43-7

# networks COMMAND...: print which cards get what of the kernel arguments $arguments, or what it says
networks() {
    rm -rf made
    mkdir made
    SYSTEMD_LOG_TARGET=console SYSTEMD_IN_INITRD=1 SYSTEMD_PROC_CMDLINE=$arguments "$@" --root="$work/made" 2>said || :
    { find made -name '*.network' -exec grep -hE '^(Address|DHCP=ipv4|DHCP=yes)' {} + && cat said; } | sort | paste -s -d ' '
}
older() {
    LD_LIBRARY_PATH=252/lib/x86_64-linux-gnu/systemd:252/usr/lib/x86_64-linux-gnu/systemd networks \
        252/lib/systemd/systemd-network-generator
}
newer() {
    libraries=262/usr/lib/x86_64-linux-gnu
    networks "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/systemd" \
        262/usr/lib/systemd/systemd-network-generator
}
is_as_expected=yes
# try ARGUMENTS EXPECTED
try() {
    arguments=$1
    a=$(older)
    b=$(newer)
    echo "$1: systemd 252.39-1~deb12u2: $a; 262.1-1: $b"
    [ "$a, $b" = "$2, $2" ] || is_as_expected=no
}
address=10.0.0.7::10.0.0.1:255.255.255.0
refused='Failed to parse kernel command line: Invalid argument'
try "ip=card1:dhcp ip=$address::card:none" 'Address=10.0.0.7/24 DHCP=ipv4'
try "ip=card1:dhcp ip=$address::card" "$refused"
try 'ip=card1:dhcp ip=both' "$refused"

mkdir klibc/run
cp klibc/usr/lib/klibc/bin/ipconfig klibc/run/
# shellcheck disable=SC2016 # the inner shell's
given=$(unshare --net -- sh -euc 'ip link add card type veth peer name other && ip link set other up
    chroot klibc /run/ipconfig -t 5 -d "$1" >/dev/null 2>&1
    ip -o -4 address show dev card | sed -n "s/.*inet \([^ ]*\).*/\1/p"' sh "$address::card")
echo "ip=$address::card: ipconfig 2.0.12-1 gives the card $given"
[ "$given" = 10.0.0.7/24 ] && [ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
