#!/bin/sh
# The disk on which images of earlier boots are kept (docs/decisions/0060): sourced by driver.sh. POSIX sh; needs mkdir,
# modprobe, mount, umount, cp and ln. It is looked at here and never written to.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

# Print the device that swarmboot.cache names, or the one that is labelled for it; nothing for none. udev has looked for
# labels when the disks came up: nobody looks again, and a disk that hangs has not got one.
swarmboot_cache_device() {
    swarmboot_wanted=$(swarmboot_argument cache)
    case $swarmboot_wanted in
        0 | [Nn][Oo] | [Oo][Ff][Ff] | [Ff][Aa][Ll][Ss][Ee]) ;;
        '') [ ! -b "$swarmboot_disks/by-label/swarmboot" ] || echo "$swarmboot_disks/by-label/swarmboot" ;;
        LABEL=*[!A-Za-z0-9._-]* | UUID=*[!A-Za-z0-9._-]*) ;; # a malformed one is named by the leecher
        LABEL=*) echo "$swarmboot_disks/by-label/${swarmboot_wanted#LABEL=}" ;;
        UUID=*) echo "$swarmboot_disks/by-uuid/${swarmboot_wanted#UUID=}" ;;
        *) printf '%s\n' "$swarmboot_wanted" ;;
    esac
}

# Mount the cache where the leecher looks for it, if there is one, and leave behind which it is. Nothing is written, the
# journal neither, and what its file system says is no reason to stop. No fault here is one of the boot's.
swarmboot_mount_cache() {
    rm -f "$swarmboot_run/handover/cache"
    swarmboot_device=$(swarmboot_cache_device)
    [ -n "$swarmboot_device" ] || return 0
    mkdir -p "$swarmboot_run/cache"
    modprobe -q ext4 || :
    if mount -t ext4 -o ro,noload,errors=continue,nosuid,nodev,noexec "$swarmboot_device" \
        "$swarmboot_run/runtime$swarmboot_run/cache" 2>/dev/null; then
        printf '%s\n' "$swarmboot_device" >"$swarmboot_run/handover/cache"
    else
        swarmboot_say "the cache on $swarmboot_device cannot be mounted as ext4: booting without it"
    fi
}

# Let go of the cache: nothing of the initramfs is to stand in the booted system's way.
swarmboot_unmount_cache() {
    [ ! -s "$swarmboot_run/handover/cache" ] || umount -l "$swarmboot_run/runtime$swarmboot_run/cache" || :
}

# Leave behind what keeps the images in the cache once the root at $1 has booted. Roots without systemd: see seed.init.
swarmboot_keep_images() {
    [ -s "$swarmboot_run/handover/keep" ] || return 0
    for swarmboot_file in "$1/lib/systemd/systemd" "$1/usr/lib/systemd/systemd"; do
        [ -e "$swarmboot_file" ] || [ -L "$swarmboot_file" ] || continue
        mkdir -p /run/systemd/system/multi-user.target.wants
        cp "$swarmboot_files/keep.service" /run/systemd/system/swarmboot-keep.service
        ln -sf ../swarmboot-keep.service /run/systemd/system/multi-user.target.wants/swarmboot-keep.service
        return 0
    done
}
