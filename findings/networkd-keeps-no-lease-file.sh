#!/bin/sh
# systemd-networkd: where the rest of the system reads what a DHCP server has said.
#
# One would expect: /run/systemd/netif/leases/N, KEY=value a line (HOSTNAME=, ROOT_PATH=, NEXT_SERVER=, NTP=), as
# networkd 257 and before kept for each card, and as initramfs scripts and provisioning agents read it, private though
# it was.
# What happens: since 261 the folder is made and stays empty. `networkctl dhcp-lease CARD` shows the server's answer
# by option number and name; `networkctl --json=short status CARD` has it as DHCPv4Client.Lease. Both ask networkd by
# Varlink and need no D-Bus. links/N beside it has DNS and NTP servers, no host name. NEWS tells of the command, not
# of the file.
# Whom it hurts: whoever takes host name, root path or next server from that file: they find nothing and say nothing.
# dracut 112 asks networkctl (dracut-ng/dracut#2462).
# Needs root, dpkg, curl, dnsmasq, ip and Debian's mirror or snapshot; asks for 10 MB; runs in a network of its own;
# takes a few seconds.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian tree 20261030T000000Z s/systemd/systemd_262.1-1 s/systemd/libsystemd-shared_262.1-1 g/glibc/libc6_2.43-7

cat >inside.sh <<'INSIDE'
set -eu
libraries=$1/tree/usr/lib/x86_64-linux-gnu
sids() {
    program=$1
    shift
    "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/systemd" "$program" "$@"
}

mount --bind users /etc/passwd
mount --bind groups /etc/group
mount -t tmpfs none /run
mount -t sysfs -o ro none /sys # read-only: no udev will tell networkd that a card is ready
mkdir -p /run/systemd/network /run/systemd/netif/leases /run/systemd/netif/links
chown -R 998:998 /run/systemd/netif
printf '[Match]\nName=card\n[Network]\nDHCP=ipv4\n' >/run/systemd/network/60-card.network

ip link set lo up
ip link add server type veth peer name card
ip address add 10.99.0.1/24 dev server
ip link set server up
dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --dhcp-leasefile=/run/leases --port=0 \
    --bind-interfaces --interface=server --no-ping --dhcp-range=10.99.0.50,10.99.0.99,1h \
    --dhcp-host="$(cat /sys/class/net/card/address),node7" 2>/run/dnsmasq.log &
SYSTEMD_LOG_TARGET=console sids "$1/tree/usr/lib/systemd/systemd-networkd" 2>/run/networkd.log &
tries=0
until ip -o -4 address show dev card | grep -q inet; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || { cat /run/networkd.log; exit 1; }
    sleep 0.5
done

files=$(find /run/systemd/netif/leases -type f | wc -l)
named=$(grep -c node7 "/run/systemd/netif/links/$(cat /sys/class/net/card/ifindex)" || :)
shown=$(sids "$1/tree/usr/bin/networkctl" --no-pager --no-legend dhcp-lease card | grep -x ' *12 hostname  *node7' || :)
echo "systemd 262.1-1, a lease with a host name: files in leases: $files; named in links: $named; networkctl: $shown"
[ "$files" = 0 ] && [ "$named" = 0 ] && [ -n "$shown" ]
INSIDE
printf 'root:x:0:0::/:/bin/sh\nsystemd-network:x:998:998::/:/bin/false\n' >users
printf 'root:x:0:\nsystemd-network:x:998:\n' >groups
unshare --net --mount --propagation private --pid --fork --kill-child -- sh inside.sh "$work" ||
    { echo 'the behaviour has changed'; exit 1; }
