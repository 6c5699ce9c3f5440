#!/bin/sh
# The shared driver of the initramfs hook: sourced by the adapters for initramfs-tools and dracut, which bring the
# network up, call swarmboot_boot with the folder that the root belongs in, and stop the boot if it fails.
# POSIX sh; what programs it needs, the files that it sources say. What to fetch, whom to believe and what to unpack is
# decided by the leecher, which runs in its own image; here is only what needs a mount.

swarmboot_cmdline=${swarmboot_cmdline:-/proc/cmdline}
swarmboot_files=${swarmboot_files:-/usr/lib/swarmboot}
swarmboot_config=${swarmboot_config:-/etc/swarmboot}
swarmboot_run=/run/swarmboot
swarmboot_ipv6_since=${swarmboot_ipv6_since:-/run/swarmboot-ipv6-since}
swarmboot_console=${swarmboot_console:-/dev/console}
swarmboot_kmsg=${swarmboot_kmsg:-/dev/kmsg}
swarmboot_fuse=${swarmboot_fuse:-/dev/fuse}
swarmboot_disks=${swarmboot_disks:-/dev/disk}
swarmboot_prefix=${swarmboot_prefix:-} # before /etc, /run and /tmp, where the initramfs keeps what the network says

# shellcheck source=initramfs-hook/arguments.sh
. "$swarmboot_files/arguments.sh"
# shellcheck source=initramfs-hook/network.sh
. "$swarmboot_files/network.sh"
# shellcheck source=initramfs-hook/zram.sh
. "$swarmboot_files/zram.sh"
# shellcheck source=initramfs-hook/leecher.sh
. "$swarmboot_files/leecher.sh"
# shellcheck source=initramfs-hook/cache.sh
. "$swarmboot_files/cache.sh"
# shellcheck source=initramfs-hook/lazy.sh
. "$swarmboot_files/lazy.sh"
# shellcheck source=initramfs-hook/root.sh
. "$swarmboot_files/root.sh"
# shellcheck source=initramfs-hook/storage.sh
. "$swarmboot_files/storage.sh"
# shellcheck source=initramfs-hook/seeding.sh
. "$swarmboot_files/seeding.sh"

# Everything from a network that is up to a root at $1. Returns 1, having said why, if the boot must stop.
swarmboot_boot() {
    swarmboot_say "an address after $(swarmboot_uptime) s:$(swarmboot_addresses)"
    swarmboot_end_window "$1"
    swarmboot_add_swap
    swarmboot_prepare || swarmboot_fail "$swarmboot_run cannot be set up: is there room in RAM, are loop and squashfs there?" ||
        return 1
    swarmboot_name_servers >"$swarmboot_run/etc/resolv.conf"
    swarmboot_host_name >"$swarmboot_run/handover/hostname"
    swarmboot_follow_name_servers &
    swarmboot_follower=$!
    swarmboot_mount_cache
    swarmboot_fetch
    swarmboot_status=$?
    swarmboot_unmount_cache
    kill "$swarmboot_follower" 2>/dev/null
    [ $swarmboot_status -eq 0 ] || return 1
    swarmboot_lay_down ''
    if ! swarmboot_assemble "$1" || ! swarmboot_check_init "$1" || ! swarmboot_mount_storage "$1"; then
        swarmboot_unmount "$1" # or it would be taken for a root, dracut's way
        return 1
    fi
    swarmboot_keep_seeding "$1"
    swarmboot_keep_images "$1"
    rm -f "$swarmboot_run/handover/own-files" "$swarmboot_run/handover/own-secrets" # they are in the root now, and may be secret
    if [ -s "$swarmboot_run/handover/devices" ]; then # the leecher goes on, with its folders and its token
        swarmboot_spare_server
        swarmboot_say "the root is ready after $(swarmboot_uptime) s, the rest of it arrives"
        return 0
    fi
    rm -f "$swarmboot_run/handover/secret.env" "$swarmboot_run/etc/fleet.token" # the booted system has no use for them
    for swarmboot_folder in run/swarmboot dev proc sys; do umount "$swarmboot_run/runtime/$swarmboot_folder"; done
    swarmboot_say "the root is ready after $(swarmboot_uptime) s"
}

# Print the plan's value of a name that stands once.
swarmboot_planned() {
    while read -r swarmboot_name swarmboot_value; do
        [ "$swarmboot_name" != "$1" ] || echo "$swarmboot_value"
    done <"$swarmboot_run/handover/plan"
}

# Succeed if something is mounted at $1.
swarmboot_is_mounted() {
    while read -r _ swarmboot_where _; do
        [ "$swarmboot_where" != "$1" ] || return 0
    done <"${swarmboot_mounts:-/proc/mounts}"
    return 1
}

# Unmount all that is mounted at $1; what is in use, as by a rescue shell that stands in it, goes out of the way.
swarmboot_unmount() {
    while swarmboot_is_mounted "$1"; do
        umount "$1" 2>/dev/null || umount -l "$1" || return 1
    done
}

# Print one line on the console, and write it into the kernel's log, for the leecher to hand to the seeder: on a level
# that consoles do not show.
swarmboot_say() {
    echo "swarmboot: $*" >"$swarmboot_console" 2>/dev/null || echo "swarmboot: $*" >&2
    { echo "<7>swarmboot: $*" >"$swarmboot_kmsg"; } 2>/dev/null || :
}

# Print the seconds since the kernel started.
swarmboot_uptime() {
    read -r swarmboot_seconds _ </proc/uptime
    echo "$swarmboot_seconds"
}
