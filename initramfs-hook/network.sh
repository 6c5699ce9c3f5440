#!/bin/sh
# What the initramfs's network has brought: an address, name servers, a host name. Sourced by driver.sh. POSIX sh; needs
# ip, cat, mv and sleep; networkctl where networkd is.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

# Succeed if a card has an address that can reach others: IPv4, or IPv6 past duplicate detection and without IPv4 for
# five seconds, because name servers may come with the latter. Needs ip(8).
swarmboot_has_address() {
    swarmboot_families=$(ip -o addr show scope global 2>/dev/null | while read -r swarmboot_line; do
        case $swarmboot_line in
            *tentative* | *dadfailed*) ;;
            *" inet "*) echo IPv4 ;;
            *" inet6 "*) echo IPv6 ;;
        esac
    done)
    case $swarmboot_families in
        *IPv4*) return 0 ;;
        '') return 1 ;;
    esac
    swarmboot_now=$(swarmboot_uptime)
    swarmboot_now=${swarmboot_now%.*}
    [ -s "$swarmboot_ipv6_since" ] || echo "$swarmboot_now" >"$swarmboot_ipv6_since"
    read -r swarmboot_since <"$swarmboot_ipv6_since"
    [ $((swarmboot_now - swarmboot_since)) -ge 5 ]
}

# Print the addresses that can reach others, each after its card.
swarmboot_addresses() {
    ip -o addr show scope global 2>/dev/null | while read -r _ swarmboot_card _ swarmboot_found _; do
        printf ' %s %s' "$swarmboot_card" "$swarmboot_found"
    done
}

# Write the resolv.conf that the leecher uses, anew every two seconds: a second card may bring its servers late.
swarmboot_follow_name_servers() {
    while swarmboot_name_servers >"$swarmboot_run/etc/resolv.conf.new"; do
        mv "$swarmboot_run/etc/resolv.conf.new" "$swarmboot_run/etc/resolv.conf"
        sleep 2
    done
}

# Print a resolv.conf: the initramfs's own, and what ipconfig or networkd was told. Each question begins with another
# server: that of a card which leads nowhere may be silent, or say that there is no such name (resolv.conf(5)).
swarmboot_name_servers() {
    for swarmboot_file in /etc/resolv.conf /run/systemd/resolve/resolv.conf /run/NetworkManager/resolv.conf \
        /tmp/net.*.resolv.conf; do
        [ ! -s "$swarmboot_file" ] || cat "$swarmboot_file"
    done
    for swarmboot_file in /run/net-*.conf /run/systemd/netif/links/*; do
        [ -f "$swarmboot_file" ] || continue
        while IFS='=' read -r swarmboot_name swarmboot_value; do
            swarmboot_value=${swarmboot_value#[\"\']}
            swarmboot_value=${swarmboot_value%[\"\']}
            case $swarmboot_name in
                IPV4DNS[01]) [ "$swarmboot_value" = 0.0.0.0 ] || echo "nameserver $swarmboot_value" ;;
                DNS) for swarmboot_word in $swarmboot_value; do echo "nameserver $swarmboot_word"; done ;;
                DOMAINSEARCH) [ -z "$swarmboot_value" ] || echo "search $swarmboot_value" ;;
            esac
        done <"$swarmboot_file"
    done
    echo 'options rotate timeout:2 attempts:5'
}

# Print what the network calls this machine: DHCP's word to ipconfig or networkd, or that of ip=. Since systemd 261
# networkd keeps no file of a lease, but has networkctl(1) show it.
swarmboot_host_name() {
    for swarmboot_file in "${swarmboot_told:-/run}"/net-*.conf "${swarmboot_told:-/run}"/systemd/netif/leases/*; do
        [ -f "$swarmboot_file" ] || continue
        while IFS='=' read -r swarmboot_name swarmboot_value; do
            swarmboot_value=${swarmboot_value#[\"\']}
            swarmboot_value=${swarmboot_value%[\"\']}
            case $swarmboot_name=$swarmboot_value in HOSTNAME=?*) printf '%s\n' "$swarmboot_value" && return ;; esac
        done <"$swarmboot_file"
    done
    ip -o addr show scope global 2>/dev/null | while read -r _ swarmboot_card _; do
        networkctl --no-pager --no-legend --full dhcp-lease "$swarmboot_card" 2>/dev/null
    done | while read -r swarmboot_option swarmboot_name swarmboot_value; do
        case $swarmboot_option:$swarmboot_name in 12:hostname) printf '%s\n' "$swarmboot_value" && break ;; esac
    done
}
