#!/bin/sh
# Run inside the tree that mmdebstrap made, by chroot: turn it into a root image that many nodes can share.
# What one machine would own (its name, id, logs, caches) goes; what a node needs to come up on a network is set.
set -eu

: "${SOURCE_DATE_EPOCH:?}"
export DEBIAN_FRONTEND=noninteractive

kernel=$(basename "$(find /boot -name 'vmlinuz-*' | sort | tail -n 1)")
update-initramfs -c -k "${kernel#vmlinuz-}" >/dev/null 2>&1 || update-initramfs -u -k "${kernel#vmlinuz-}"
mkdir /stage0
mv "/boot/$kernel" /stage0/vmlinuz
mv "/boot/initrd.img-${kernel#vmlinuz-}" /stage0/initramfs.img
rm -f /vmlinuz* /initrd.img* /boot/*

# The network comes up by DHCP on any wired interface; root logs in at the console without a password: it is a sample.
printf '[Match]\nType=ether\n\n[Network]\nDHCP=yes\nKeepConfiguration=yes\n' >/etc/systemd/network/80-wired.network
systemctl --quiet enable systemd-networkd.service systemd-resolved.service 2>/dev/null
passwd --quiet --delete root
printf 'sample\n' >/etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 sample\n' >/etc/hosts
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed

apt-get clean
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -type d -empty -delete
rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bug
rm -rf /var/lib/apt/lists /var/cache/apt /var/cache/debconf/*-old /var/cache/ldconfig /var/lib/dpkg/*-old
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/.pwd.lock
find /var/log -type f -delete
find /tmp /var/tmp /run -mindepth 1 -delete
