#!/bin/sh
# dracut's hook `cmdline`, sourced: where swarmboot is enabled, take charge of the root and ask for the network.
# shellcheck source=initramfs-hook/driver.sh
. /usr/lib/swarmboot/driver.sh

swarmboot_claim() {
    # shellcheck disable=SC2034 # dracut's own names
    root=swarmboot rootok=1
    mkdir -p /etc/cmdline.d
    echo rd.neednet=1 >/etc/cmdline.d/20-swarmboot.conf
    getarg ip= >/dev/null || swarmboot_ask_for_addresses
    # shellcheck disable=SC2154 # dracut's own name
    echo '. /usr/lib/swarmboot/driver.sh; swarmboot_has_address' >"$hookdir/initqueue/finished/swarmboot.sh"
}

# Ask every way of networking that dracut may bring for DHCP and IPv6: network-legacy and NetworkManager read ip=dhcp,
# networkd is given a file.
swarmboot_ask_for_addresses() {
    echo ip=dhcp >>/etc/cmdline.d/20-swarmboot.conf
    mkdir -p /run/systemd/network
    swarmboot_mac=$(getarg BOOTIF=)
    {
        echo '[Match]'
        if [ -n "$swarmboot_mac" ]; then
            echo "MACAddress=$(echo "${swarmboot_mac#*-}" | tr 'A-F-' 'a-f:')"
        else
            echo 'Type=ether'
        fi
        printf '[Network]\nDHCP=yes\nIPv6AcceptRA=yes\nKeepConfiguration=dhcp-on-stop\n[DHCPv4]\nClientIdentifier=mac\n'
    } >/run/systemd/network/90-swarmboot.network
}

if swarmboot_is_enabled; then
    swarmboot_claim
fi
