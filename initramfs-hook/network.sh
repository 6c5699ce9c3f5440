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

# Write the resolv.conf that the leecher uses, anew every two seconds: a second card may bring its servers late, and of
# more than three servers only three can be asked at a time.
swarmboot_follow_name_servers() {
    swarmboot_turn=0
    while swarmboot_name_servers "$swarmboot_turn" >"$swarmboot_run/etc/resolv.conf.new"; do
        mv "$swarmboot_run/etc/resolv.conf.new" "$swarmboot_run/etc/resolv.conf"
        sleep 2
        swarmboot_turn=$((swarmboot_turn + 1))
    done
}

# Print a resolv.conf: the initramfs's own, and what ipconfig or networkd was told. Each question begins with another
# server: that of a card which leads nowhere may be silent, or say that there is no such name (resolv.conf(5)). The C
# library reads three servers and no more, so each stands once, every card's first before any second one, and of more
# than three others come first at each turn $1.
swarmboot_name_servers() {
    swarmboot_first=
    swarmboot_later=
    for swarmboot_file in "$swarmboot_prefix/etc/resolv.conf" "$swarmboot_prefix/run/systemd/resolve/resolv.conf" \
        "$swarmboot_prefix/run/NetworkManager/resolv.conf" "$swarmboot_prefix"/tmp/net.*.resolv.conf; do
        [ -s "$swarmboot_file" ] || continue
        swarmboot_servers=
        while read -r swarmboot_name swarmboot_value swarmboot_rest; do
            case $swarmboot_name in
                nameserver) swarmboot_servers="$swarmboot_servers $swarmboot_value" ;;
                domain | search | options) echo "$swarmboot_name $swarmboot_value $swarmboot_rest" ;;
            esac
        done <"$swarmboot_file"
        swarmboot_add_servers
    done
    for swarmboot_file in "$swarmboot_prefix"/run/net-*.conf "$swarmboot_prefix"/run/systemd/netif/links/*; do
        [ -f "$swarmboot_file" ] || continue
        swarmboot_servers=
        while IFS='=' read -r swarmboot_name swarmboot_value; do
            swarmboot_value=${swarmboot_value#[\"\']}
            swarmboot_value=${swarmboot_value%[\"\']}
            case $swarmboot_name in
                IPV4DNS[01] | DNS) swarmboot_servers="$swarmboot_servers $swarmboot_value" ;;
                DOMAINSEARCH) [ -z "$swarmboot_value" ] || echo "search $swarmboot_value" ;;
            esac
        done <"$swarmboot_file"
        swarmboot_add_servers
    done
    swarmboot_print_servers "${1:-0}"
}

# Add the name servers of one source, $swarmboot_servers: its first one to $swarmboot_first, the others to $swarmboot_later.
swarmboot_add_servers() {
    for swarmboot_word in $swarmboot_servers; do
        [ "$swarmboot_word" != 0.0.0.0 ] || continue
        if [ "$swarmboot_servers" ]; then
            swarmboot_first="$swarmboot_first $swarmboot_word"
        else
            swarmboot_later="$swarmboot_later $swarmboot_word"
        fi
        swarmboot_servers=
    done
}

# Print the name servers of $swarmboot_first and $swarmboot_later, and how they are to be asked, for turn $1.
swarmboot_print_servers() {
    swarmboot_turns=$1
    swarmboot_attempts=5
    set --
    for swarmboot_word in $swarmboot_first $swarmboot_later; do
        case " $* " in *" $swarmboot_word "*) ;; *) set -- "$@" "$swarmboot_word" ;; esac
    done
    if [ $# -gt 3 ]; then
        swarmboot_attempts=1 # the next question is for others
        swarmboot_turns=$((swarmboot_turns % $#))
        while [ "$swarmboot_turns" -gt 0 ]; do
            swarmboot_word=$1
            shift
            set -- "$@" "$swarmboot_word"
            swarmboot_turns=$((swarmboot_turns - 1))
        done
    fi
    for swarmboot_word in "$@"; do echo "nameserver $swarmboot_word"; done
    echo "options rotate timeout:2 attempts:$swarmboot_attempts"
}

# Print what the network calls this machine: DHCP's word to ipconfig or networkd, or that of ip=. Since systemd 261
# networkd keeps no file of a lease, but has networkctl(1) show it.
swarmboot_host_name() {
    for swarmboot_file in "$swarmboot_prefix"/run/net-*.conf "$swarmboot_prefix"/run/systemd/netif/leases/*; do
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
