#!/bin/sh
# systemd-network-generator, BOOTIF=: what PXELINUX and iPXE tell of the card that a machine started from.
#
# One would expect: `ip=dhcp BOOTIF=01-52-54-00-12-34-56` asks for DHCP on that card, or on every card, as dracut's older
# scripts, NetworkManager's generator and initramfs-tools do; in systemd before 261 BOOTIF= was ignored.
# What happens: in 262 BOOTIF= alone makes 70-BOOTIF.network, which matches the card and asks for nothing, and with it
# `ip=dhcp` makes no file at all: no card has DHCP. A fixed address for that card by name (`ip=...:ens3:none`) makes
# 70-ens3.network, which comes after 70-BOOTIF.network and so is never used. `ip=::::node:BOOTIF:dhcp` and `rd.bootif=0`
# work. dracut 112 brings its own DHCP on all cards only where no .network file was made.
# Whom it hurts: whoever boots over the network with BOOTIF= on the command line (PXELINUX: `ipappend 2`) and has
# systemd-networkd in the initramfs.
# Needs dpkg, curl and Debian's mirror or snapshot; asks for 10 MB; takes a few seconds.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian tree 20261030T000000Z s/systemd/systemd_262.1-1 s/systemd/libsystemd-shared_262.1-1 g/glibc/libc6_2.43-7
libraries=tree/usr/lib/x86_64-linux-gnu
generate() {
    rm -rf made
    mkdir made
    SYSTEMD_IN_INITRD=1 SYSTEMD_PROC_CMDLINE="$1" "$libraries/ld-linux-x86-64.so.2" \
        --library-path "$libraries:$libraries/systemd" tree/usr/lib/systemd/systemd-network-generator --root="$work/made"
}

is_as_expected=yes
try() {
    generate "$1"
    said=
    for file in made/run/systemd/network/*.network; do
        asks=$(grep -E '^(DHCP|Address)=' "$file" | paste -s -d ' ') || :
        said="$said${said:+; }${file##*/} asks for ${asks:-nothing}"
    done
    echo "systemd 262.1-1, $1: $said"
    [ "$said" = "$2" ] || is_as_expected=no
}

card=BOOTIF=01-52-54-00-12-34-56
try "ip=dhcp" '71-default.network asks for DHCP=ipv4'
try "ip=dhcp $card" '70-BOOTIF.network asks for nothing'
try "ip=10.0.0.7::10.0.0.1:255.255.255.0:node:ens3:none $card" \
    '70-BOOTIF.network asks for nothing; 70-ens3.network asks for DHCP=no Address=10.0.0.7/24'
try "ip=::::node:BOOTIF:dhcp $card" '70-BOOTIF.network asks for DHCP=ipv4'
try "ip=dhcp $card rd.bootif=0" '71-default.network asks for DHCP=ipv4'
[ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
