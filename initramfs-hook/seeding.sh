#!/bin/sh
# What starts the leecher again in the booted system, as a neighbour: sourced by driver.sh. POSIX sh; needs cat, cp, ln
# and mkdir.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

# Leave behind what starts the leecher again, as a neighbour, once the root at $1 has booted.
swarmboot_keep_seeding() {
    [ "$(swarmboot_planned seed)" = on ] || return 0
    cp "$swarmboot_files/seed.init" "$swarmboot_run/seed"
    for swarmboot_file in "$1/lib/systemd/systemd" "$1/usr/lib/systemd/systemd"; do
        [ -e "$swarmboot_file" ] || [ -L "$swarmboot_file" ] || continue
        mkdir -p /run/systemd/system/multi-user.target.wants
        cp "$swarmboot_files/seed.service" /run/systemd/system/swarmboot-seed.service
        cp "$swarmboot_files/seed.socket" /run/systemd/system/swarmboot-seed.socket
        ln -sf ../swarmboot-seed.service /run/systemd/system/multi-user.target.wants/swarmboot-seed.service
        return 0
    done
    [ -d "$1/etc/init.d" ] || return 0
    cp "$swarmboot_files/seed.init" "$1/etc/init.d/swarmboot-seed"
    for swarmboot_folder in "$1"/etc/rc[2345].d; do
        [ ! -d "$swarmboot_folder" ] || ln -sf ../init.d/swarmboot-seed "$swarmboot_folder/S99swarmboot-seed"
    done
    swarmboot_start_after_insserv "$1/etc/init.d/.depend.start"
    [ ! -d "$1/etc/runlevels/default" ] || ln -sf /etc/init.d/swarmboot-seed "$1/etc/runlevels/default/swarmboot-seed"
}

# Where insserv has written down which scripts startpar starts, add ours: a link in /etc/rc2.d is not enough there.
swarmboot_start_after_insserv() {
    [ -s "$1" ] || return 0
    while IFS= read -r swarmboot_line; do
        case $swarmboot_line in
            *swarmboot-seed*) ;;
            'TARGETS ='*) swarmboot_line="$swarmboot_line swarmboot-seed" ;;
        esac
        echo "$swarmboot_line"
    done <"$1" >"$swarmboot_run/depend.start"
    cat "$swarmboot_run/depend.start" >"$1"
}
