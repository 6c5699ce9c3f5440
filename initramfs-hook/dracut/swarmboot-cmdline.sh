#!/bin/sh
# dracut's hook `cmdline`, sourced: where swarmboot is enabled, take charge of the root and ask for the network.
# shellcheck source=initramfs-hook/driver.sh
. /usr/lib/swarmboot/driver.sh
# shellcheck source=initramfs-hook/cards.sh
. /usr/lib/swarmboot/cards.sh

swarmboot_claim() {
    # shellcheck disable=SC2034 # dracut's own names
    root=swarmboot rootok=1
    mkdir -p /etc/cmdline.d
    echo rd.neednet=1 >/etc/cmdline.d/20-swarmboot.conf
    : >/run/swarmboot-waits # see wait-online.conf
    case $(getarg ip=) in
        '') echo ip=dhcp >>/etc/cmdline.d/20-swarmboot.conf && swarmboot_ask_networkd ;;
        dhcp | on | any | both | bootp) swarmboot_ask_networkd ;; # systemd does not know the last two
    esac
    # shellcheck disable=SC2154 # dracut's own name
    echo '. /usr/lib/swarmboot/driver.sh; swarmboot_has_address' >"$hookdir/initqueue/finished/swarmboot.sh"
}

# Ask systemd-networkd for DHCP and IPv6 on every card, or on the one that BOOTIF= names. NetworkManager and the older
# scripts read ip=dhcp; so does systemd, but not where BOOTIF= stands beside it. The number is lower than those of the
# files that systemd makes of kernel arguments.
swarmboot_ask_networkd() {
    mkdir -p /run/systemd/network
    swarmboot_mac=$(swarmboot_bootif "$(getarg BOOTIF=)")
    swarmboot_match=Type=ether
    [ -z "$swarmboot_mac" ] || swarmboot_match=MACAddress=$swarmboot_mac
    {
        printf '[Match]\n%s\n' "$swarmboot_match"
        printf '[Network]\nDHCP=yes\nIPv6AcceptRA=yes\nKeepConfiguration=dhcp-on-stop\n[DHCPv4]\nClientIdentifier=mac\n'
    } >/run/systemd/network/60-swarmboot.network
    [ -z "$swarmboot_mac" ] || # before 71-default.network, which systemd 257 makes of ip=dhcp for every card
        printf '[Match]\nType=ether\n[Link]\nUnmanaged=yes\n' >/run/systemd/network/70-zz-swarmboot-others.network
}

if swarmboot_is_enabled; then
    swarmboot_claim
fi
