#!/bin/sh
# iPXE of Debian 12, 13 and sid: a machine that boots by IPv4, from a network with a DHCP server for that.
#
# One would expect: once DHCP has given it an address and a script, it goes on; that takes a second or less.
# What happens: DHCP and IPv6 are asked side by side, and the boot goes on when both have ended. Where nobody advertises a
# router, IPv6 ends when its last solicitation has run out: after sixteen seconds with Debian 12's iPXE, which is also the
# one in its QEMU's cards, four with the later ones. Where a router sends machines to a DHCPv6 server that does not answer,
# as QEMU's own network does, each of them waits fifteen seconds. Meanwhile dots are printed.
# Whom it hurts: every machine of a rack whose network is IPv4 alone, at every boot.
# Needs dpkg, curl, qemu-system-x86_64 and Debian's mirror or snapshot; asks for 12 MB; takes two minutes.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian 12 20261130T000000Z i/ipxe/ipxe_1.0.0+git-20190125.36a4c85-5.1_all
unpack_debian 13 20261130T000000Z i/ipxe/ipxe_1.21.1+git20250501.dad20602+dfsg-1_all
unpack_debian sid 20261130T000000Z i/ipxe/ipxe_2.0.0+dfsg-5_all

# configures IPXE NETWORK...: print for how many seconds it configures its card, by QEMU's own DHCP server
configures() {
    ipxe=$1
    shift
    : >console
    qemu-system-x86_64 -machine pc,graphics=off -accel tcg -m 256 -nodefaults -display none -serial file:console \
        -kernel "$ipxe/ipxe.lkrn" -netdev "user,id=net,$*" -device virtio-net-pci,netdev=net,romfile= 2>/dev/null &
    machine=$!
    began='' seconds=never tries=0
    while kill -0 $machine 2>/dev/null && [ $((tries += 1)) -lt 900 ]; do
        [ -n "$began" ] || ! grep -aq 'Configuring' console || began=$(date +%s%N)
        ! grep -aqE 'Configuring.*\.\. ok' console || { seconds=$((($(date +%s%N) - began) / 1000000000)) && break; }
        sleep 0.1
    done
    kill $machine 2>/dev/null || :
    wait $machine || :
    echo "$seconds"
}

changed=0
for suite in 12 13 sid; do
    alone=$(configures $suite/usr/lib/ipxe ipv6=off)
    sent_on=$(configures $suite/usr/lib/ipxe ipv6=on)
    version=$(sed -n 's/^Version: //p' $suite/packages)
    echo "iPXE $version: $alone s without an IPv6 router, $sent_on s with one that names a DHCPv6 server, which is silent"
    case $suite.$alone.$sent_on in 12.1[4-9].1[3-9] | 13.[2-6].1[3-9] | sid.[2-6].1[3-9]) ;; *) changed=1 ;; esac
done
[ $changed = 0 ] || { echo 'the behaviour has changed'; exit 1; }
