#!/bin/sh
# Compressed swap in RAM (swarmboot.zram, docs/decisions/0069), into which the kernel moves pages of the tmpfs that hold the
# root, and of programs: sourced by driver.sh. POSIX sh; needs cat, mkswap, modprobe and swapon. It outlives the switch of
# roots, being the kernel's.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

swarmboot_zram_control=${swarmboot_zram_control:-/sys/class/zram-control}
swarmboot_blocks=${swarmboot_blocks:-/sys/block}
swarmboot_swaps=${swarmboot_swaps:-/proc/swaps}
swarmboot_meminfo=${swarmboot_meminfo:-/proc/meminfo}

# Swap to a device of its own if swarmboot.zram asks for it, and say what became of that: without it the boot goes on.
# May be run again: there is one already then. zram0, which the module makes, is left to the booted system.
swarmboot_add_swap() {
    swarmboot_wanted=$(swarmboot_argument zram)
    swarmboot_kib=$(swarmboot_swap_kib "$swarmboot_wanted") || return 0 # a malformed one is named by the leecher
    ! swarmboot_swaps_to_zram || return 0
    modprobe -q zram || :
    if ! swarmboot_number=$(cat "$swarmboot_zram_control/hot_add" 2>/dev/null); then
        swarmboot_say "swarmboot.zram is $swarmboot_wanted, and the module zram is not there: going on without;" \
            "build the initramfs with --default zram=$swarmboot_wanted"
        return 0
    fi
    if swarmboot_make_swap "/dev/zram$swarmboot_number" "$swarmboot_blocks/zram$swarmboot_number"; then
        swarmboot_say "swap of $((swarmboot_kib / 1024)) MiB in RAM, compressed by $swarmboot_algorithm"
    else
        swarmboot_say "swarmboot.zram is $swarmboot_wanted, and $swarmboot_why: going on without"
        swarmboot_write "$swarmboot_number" "$swarmboot_zram_control/hot_remove" || :
    fi
}

# Print how many KiB the value $1 is on this machine, at most twice its RAM; fail if it is off or malformed.
swarmboot_swap_kib() {
    while read -r swarmboot_name swarmboot_ram _; do
        [ "$swarmboot_name" != MemTotal: ] || break
    done <"$swarmboot_meminfo"
    swarmboot_size=$1
    case $1 in 1 | [Yy][Ee][Ss] | [Oo][Nn] | [Tt][Rr][Uu][Ee]) swarmboot_size=50% ;; esac
    swarmboot_count=${swarmboot_size%%[!0-9]*}
    case $swarmboot_count in '' | 0* | ??????????*) return 1 ;; esac
    case ${swarmboot_size#"$swarmboot_count"} in
        %) swarmboot_count=$((swarmboot_ram * swarmboot_count / 100)) ;;
        [kK] | KiB) ;;
        [mM] | MiB) swarmboot_count=$((swarmboot_count * 1024)) ;;
        [gG] | GiB) swarmboot_count=$((swarmboot_count * 1024 * 1024)) ;;
        *) return 1 ;;
    esac
    [ "$swarmboot_count" -le $((swarmboot_ram * 2)) ] || swarmboot_count=$((swarmboot_ram * 2))
    echo "$swarmboot_count"
}

# Succeed if this machine swaps to compressed RAM already.
swarmboot_swaps_to_zram() {
    while read -r swarmboot_device _; do
        case $swarmboot_device in /dev/zram*) return 0 ;; esac
    done <"$swarmboot_swaps"
    return 1
}

# Swap to the device $1, whose settings are in the folder $2, or fail and leave in $swarmboot_why what is wrong.
swarmboot_make_swap() {
    swarmboot_why="$1 takes no size of $swarmboot_kib KiB"
    swarmboot_size_swap "$2" || return 1
    swarmboot_why="$1 cannot be swapped to (are mkswap and swapon in the initramfs?)"
    mkswap "$1" >/dev/null 2>&1 && swapon "$1" 2>/dev/null
}

# Give the device in the folder $1 its size and the first of these ways to compress that the kernel has, module and all,
# named in $swarmboot_algorithm: what packs most, what is fastest, and the kernel's own choice, which stands in brackets.
swarmboot_size_swap() {
    swarmboot_own=
    read -r swarmboot_own <"$1/comp_algorithm" || return 1
    swarmboot_own=${swarmboot_own#*\[}
    for swarmboot_algorithm in zstd lz4 "${swarmboot_own%%\]*}"; do
        swarmboot_write "$swarmboot_algorithm" "$1/comp_algorithm" || continue
        ! swarmboot_write "${swarmboot_kib}K" "$1/disksize" || return 0
    done
    return 1
}

# Write $1 into the kernel's file $2.
swarmboot_write() {
    { echo "$1" >"$2"; } 2>/dev/null
}
