#!/bin/sh
# dracut's hook `pre-udev`, sourced before systemd-networkd starts. Of BOOTIF= systemd 261 and later make
# 70-BOOTIF.network, even where no ip= speaks of it: it asks for nothing, and hides what asks for an address after it.
# shellcheck source=initramfs-hook/driver.sh
. /usr/lib/swarmboot/driver.sh

# Remove the .network file $1 if it gives its card nothing to do.
swarmboot_drop_idle_network() {
    [ -e "$1" ] || return 0
    while IFS= read -r swarmboot_line; do
        case $swarmboot_line in Address=* | Bond=* | Bridge=* | DHCP=* | LinkLocalAddressing=* | VLAN=*) return 0 ;; esac
    done <"$1"
    rm -f "$1"
}

if swarmboot_is_enabled; then
    swarmboot_drop_idle_network /run/systemd/network/70-BOOTIF.network
fi
