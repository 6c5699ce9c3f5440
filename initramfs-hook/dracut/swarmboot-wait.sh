#!/bin/sh
# dracut's hook `initqueue/settled`, sourced again and again: wait for an address, for ever rather than rd.retry.
# shellcheck source=initramfs-hook/driver.sh
. /usr/lib/swarmboot/driver.sh
# shellcheck source=initramfs-hook/cards.sh
. /usr/lib/swarmboot/cards.sh

# Succeed, having taken all cards, if none has the address in BOOTIF=: networkd and NetworkManager wait for that one.
swarmboot_do_without_bootif() {
    swarmboot_mac=$(swarmboot_bootif "$(getarg BOOTIF=)")
    [ -n "$swarmboot_mac" ] && ! swarmboot_has_card "$swarmboot_mac" || return 1
    swarmboot_say_no_card "$swarmboot_mac"
    echo rd.bootif=0 >>/etc/cmdline.d/20-swarmboot.conf
    swarmboot_file=/run/systemd/network/60-swarmboot.network
    if [ -e "$swarmboot_file" ]; then
        while IFS= read -r swarmboot_line; do
            case $swarmboot_line in MACAddress=*) swarmboot_line=Type=ether ;; esac
            echo "$swarmboot_line"
        done <"$swarmboot_file" >"$swarmboot_file.new"
        mv "$swarmboot_file.new" "$swarmboot_file"
        systemctl try-restart systemd-networkd.service 2>/dev/null
    fi
    if [ -e /lib/nm-lib.sh ]; then
        # shellcheck source=/dev/null
        . /lib/nm-lib.sh
        nm_generate_connections
        nm_reload_connections
    fi
    return 0
}

# Say so if systemd has made nothing of the network's arguments: it drops all of them where one is not in its own form,
# with a word in the journal alone. Which one it was it does not say.
swarmboot_say_unread_network() {
    systemctl --quiet is-failed systemd-network-generator.service 2>/dev/null || return 0
    swarmboot_say "systemd has dropped all arguments for the network, as it does not understand one of them;" \
        "found$(getargs ip= | while read -r swarmboot_word; do printf ' ip=%s' "$swarmboot_word"; done);" \
        "expected all seven fields, ip=ADDRESS::GATEWAY:NETMASK:NAME:CARD:none, or ip=dhcp"
}

if swarmboot_is_enabled && ! swarmboot_has_address; then
    [ -n "${swarmboot_began:-}" ] || swarmboot_say_unread_network
    swarmboot_now=$(swarmboot_uptime)
    swarmboot_now=${swarmboot_now%.*}
    swarmboot_began=${swarmboot_began:-$swarmboot_now}
    swarmboot_waited=$((swarmboot_now - swarmboot_began))
    if [ $swarmboot_waited -ge "${swarmboot_next_word:-30}" ]; then
        if [ -n "${swarmboot_next_word:-}" ] || ! swarmboot_do_without_bootif; then
            swarmboot_say "still no address after $(swarmboot_uptime) s"
        fi
        swarmboot_next_word=$((swarmboot_waited + 30))
    fi
    # shellcheck disable=SC2034 # dracut's own name
    [ $swarmboot_waited -gt 60 ] && [ -n "$(swarmboot_argument timeout)" ] || main_loop=0
fi
