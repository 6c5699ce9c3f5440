#!/bin/sh
# dnsmasq, --dhcp-host: machines that are called by rack and place, as 1d, 12h or 60.
#
# One would expect: in `dhcp-host=MAC,ADDRESS,12h` the third word is the name, as it is with node7 in its place, or the
# line is refused; `--test` would say.
# What happens: a word that begins with a digit and goes on with digits up to its end, or up to one of s, m, h, d, w (of
# either case), is how long the lease is. The machine gets no name and a lease of that length: 12h half a day, 60 two minutes, the
# least that there is, 3w three weeks. A machine called `infinite` keeps its address for ever, and one called `ignore`
# is not answered at all. `--test` finds nothing wrong, and the log has not a word.
# Whom it hurts: whoever makes these lines of a table of hosts whose names are short: diskless machines that take their
# name from DHCP have none, those in small ranges hold addresses for weeks, or ask again each minute. A tag and option 12
# (`dhcp-host=MAC,set:here`, `dhcp-option=tag:here,12,12h`) give such a name.
# Needs root, dpkg, curl, ip, python3, dnsmasq's libraries and Debian's mirror or snapshot; asks for 4 MB; runs in a
# network of its own; takes some ten seconds.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian bookworm 20261030T000000Z d/dnsmasq/dnsmasq-base_2.90-4~deb12u2
unpack_debian sid 20261130T000000Z d/dnsmasq/dnsmasq-base_2.93-3 g/glibc/libc6_2.43-7

cat >ask.py <<'PYTHON'
"""Send a DHCPDISCOVER (RFC 2131) for each name, by one MAC address each; print the name and lease that is offered."""
import socket
import struct
import sys


def discover(number):
    mac = bytes((0x52, 0x54, 0, 0, 0, number))
    fixed = struct.pack("!BBBBIHH4x4x4x4x", 1, 1, 6, 0, number, 0, 0x8000) + mac + bytes(10 + 64 + 128)
    return fixed + b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x02\x0c\x33" + b"\xff"


def options(answer):
    found, at = {}, 240
    while answer[at] != 255:
        found[answer[at]] = answer[at + 2 : at + 2 + answer[at + 1]]
        at += 2 + answer[at + 1]
    return found


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
    card.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    card.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"card")
    card.bind(("", 68))
    card.settimeout(2)
    said = []
    for number, name in enumerate(sys.argv[1:], 1):
        card.sendto(discover(number), ("255.255.255.255", 67))
        try:
            offered = options(card.recv(2048))
        except TimeoutError:
            said.append(f"{name}: no offer")
            continue
        called = offered[12].decode() if 12 in offered else "no name"
        said.append(f"{name}: {called}, {int.from_bytes(offered[51], 'big')} s")
print("; ".join(said))
PYTHON

cat >inside.sh <<'INSIDE'
set -eu
dnsmasq=$1
shift
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
number=0
for name in "$@"; do
    number=$((number + 1))
    echo "dhcp-host=52:54:00:00:00:0$number,10.99.0.1$number,$name"
done >/run/hosts.conf
$dnsmasq --test --conf-file=/run/hosts.conf 2>/run/test.log || { cat /run/test.log; exit 1; }
: >/run/dnsmasq.log
$dnsmasq --keep-in-foreground --conf-file=/run/hosts.conf --user=root --pid-file= --dhcp-leasefile=/run/leases --port=0 \
    --bind-interfaces --interface=server --no-ping --dhcp-range=10.99.0.50,10.99.0.99,1h --log-facility=- 2>/run/dnsmasq.log &
tries=0
until grep -q 'DHCP, IP range' /run/dnsmasq.log; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || { cat /run/dnsmasq.log; exit 1; }
    sleep 0.1
done
$machines python3 ask.py "$@"
INSIDE

is_as_expected=yes
try() { # try VERSION COMMAND
    said=$(unshare --net --mount --propagation private --pid --fork --kill-child -- \
        sh inside.sh "$2" node7 r2d 12h 3W 60 infinite ignore)
    echo "dnsmasq $1, a range with leases of an hour: $said"
    [ "$said" = "node7: node7, 3600 s; r2d: r2d, 3600 s; 12h: no name, 43200 s; 3W: no name, 1814400 s; \
60: no name, 120 s; infinite: no name, 4294967295 s; ignore: no offer" ] || is_as_expected=no
}
try 2.90-4~deb12u2 bookworm/usr/sbin/dnsmasq
libraries=sid/usr/lib/x86_64-linux-gnu
try 2.93-3 "$libraries/ld-linux-x86-64.so.2 --library-path $libraries sid/usr/sbin/dnsmasq"
[ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
