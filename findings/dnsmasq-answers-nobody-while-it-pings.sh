#!/bin/sh
# dnsmasq as the DHCP server of machines that are switched on together.
#
# One would expect: before an address is offered for the first time it is pinged, and meanwhile other machines get their
# offers, as with ISC's and Kea's servers; n machines wait three seconds, not 3 n.
# What happens: in the three seconds of a ping dnsmasq answers DNS and TFTP and nobody's DHCP. Machines that ask at one moment
# are offered addresses one after the other, 3, 6, 9, 12, 15, 18 s later; after six pings within half a minute it pings
# no more until that is over, and the others follow at once. So the first six machines pay for a rack. With --no-ping
# all have their offer at once.
# Whom it hurts: whoever switches on a rack or a new range: firmware and initramfs ask again after 1 to 4 s, and PXE of some
# cards gives up in the time that six pings take.
# Needs root, dpkg, curl, ip, python3, dnsmasq's libraries and Debian's mirror or snapshot; asks for 0.5 MB; runs in a
# network of its own; takes half a minute.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian tree 20261030T000000Z d/dnsmasq/dnsmasq-base_2.90-4~deb12u2

cat >ask.py <<'PYTHON'
"""Send eight DHCPDISCOVERs (RFC 2131) at one moment, by eight addresses; print after how many seconds each is offered one."""
import socket
import struct
import time

MACHINES = 8


def discover(number):
    mac = bytes((0x52, 0x54, 0, 0, 0, number))
    fixed = struct.pack("!BBBBIHH4x4x4x4x", 1, 1, 6, 0, number, 0, 0x8000) + mac + bytes(10 + 64 + 128)
    return fixed + b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\xff"


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
    card.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    card.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"card")
    card.bind(("", 68))
    card.settimeout(60)
    began_s = time.monotonic()
    for number in range(1, MACHINES + 1):
        card.sendto(discover(number), ("255.255.255.255", 67))
    offered = {}
    while len(offered) < MACHINES:
        answer = card.recv(2048)
        offered.setdefault(struct.unpack("!I", answer[4:8])[0], time.monotonic() - began_s)
print(*(f"{after_s:.0f}" for after_s in sorted(offered.values())))
PYTHON

cat >inside.sh <<'INSIDE'
set -eu
mount -t tmpfs none /run
ip link set lo up
ip link add server type veth peer name card
ip address add 10.99.0.1/24 dev server
ip link set server up
ip netns add machines
ip link set card netns machines
machines='ip netns exec machines'
$machines ip address add 10.99.0.2/24 dev card
$machines ip link set card up
: >/run/dnsmasq.log
"$@" --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --dhcp-leasefile=/run/leases --port=0 \
    --bind-interfaces --interface=server --dhcp-range=10.99.0.50,10.99.0.99,1h --log-facility=- 2>/run/dnsmasq.log &
tries=0
until grep -q 'DHCP, IP range' /run/dnsmasq.log; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || { cat /run/dnsmasq.log; exit 1; }
    sleep 0.1
done
$machines python3 ask.py
INSIDE
offers() { unshare --net --mount --propagation private --pid --fork --kill-child -- sh inside.sh "$@"; }

pinged=$(offers tree/usr/sbin/dnsmasq)
unpinged=$(offers tree/usr/sbin/dnsmasq --no-ping)
echo "dnsmasq 2.90-4~deb12u2, eight machines at once, seconds until each has its offer: $pinged; with --no-ping: $unpinged"
[ "${pinged##* }" -ge 15 ] && [ "${unpinged##* }" -le 2 ] || { echo 'the behaviour has changed'; exit 1; }
