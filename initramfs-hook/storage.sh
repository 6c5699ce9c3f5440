#!/bin/sh
# What outlives a boot: a disk or a folder of a server, mounted in the new root (docs/decisions/0069): sourced by
# driver.sh. POSIX sh; needs kill, mkdir, modprobe, mount and sleep. Nothing is formatted, and nothing repaired.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

swarmboot_patience=${swarmboot_patience:-10} # seconds until a disk is there
swarmboot_nfs_patience=${swarmboot_nfs_patience:-60}

# Whoever has the console may have a node boot once without: who makes this file. It is in a tmpfs that is mounted over
# whatever was loaded, so nobody on the LAN makes it.
swarmboot_without_storage=${swarmboot_without_storage:-/run/swarmboot-without-storage}

# Mount the storage that the plan names in the root at $1, and say what became of it. Fails only if the release has nodes
# stop without.
swarmboot_mount_storage() {
    swarmboot_type=
    read -r swarmboot_type swarmboot_source swarmboot_at swarmboot_missing swarmboot_options <<PLAN || :
$(swarmboot_planned storage)
PLAN
    [ -n "$swarmboot_type" ] || return 0
    if [ -e "$swarmboot_without_storage" ]; then
        swarmboot_say "storage $swarmboot_source for $swarmboot_at is not mounted: $swarmboot_without_storage is there"
        return 0
    fi
    swarmboot_why='no such folder can be made in the root'
    if swarmboot_where=$(swarmboot_resolve "$1" "$swarmboot_at") && mkdir -p "$swarmboot_where" &&
        swarmboot_find_storage && swarmboot_mount_found; then
        swarmboot_say "storage $swarmboot_source is mounted on $swarmboot_at"
    elif [ "$swarmboot_missing" = stop ]; then
        swarmboot_fail "storage $swarmboot_source for $swarmboot_at is missing, and the release has nodes stop then:" \
            "$swarmboot_why; to boot once without: touch $swarmboot_without_storage, at this machine's shell"
    else
        swarmboot_say "storage $swarmboot_source for $swarmboot_at is missing, going on without: $swarmboot_why"
    fi
}

# Put what is to be mounted into $swarmboot_device: of a disk the device, by the links that udev makes. A disk may take a
# moment to come up.
swarmboot_find_storage() {
    case $swarmboot_source in
        LABEL=*) swarmboot_device=$swarmboot_disks/by-label/${swarmboot_source#LABEL=} ;;
        UUID=*) swarmboot_device=$swarmboot_disks/by-uuid/${swarmboot_source#UUID=} ;;
        PARTLABEL=*) swarmboot_device=$swarmboot_disks/by-partlabel/${swarmboot_source#PARTLABEL=} ;;
        PARTUUID=*) swarmboot_device=$swarmboot_disks/by-partuuid/${swarmboot_source#PARTUUID=} ;;
        *) swarmboot_device=$swarmboot_source ;;
    esac
    case $swarmboot_type in nfs*) return 0 ;; esac
    swarmboot_why='no such disk is there'
    swarmboot_tries=0
    while [ ! -b "$swarmboot_device" ]; do
        [ "$swarmboot_tries" -lt "$swarmboot_patience" ] || return 1
        swarmboot_tries=$((swarmboot_tries + 1))
        sleep 1
    done
}

# Mount it. A server that does not answer is given up after a minute: the kernel would try for longer.
swarmboot_mount_found() {
    swarmboot_why="it cannot be mounted as $swarmboot_type"
    modprobe -q "$swarmboot_type" || :
    case $swarmboot_type in nfs) modprobe -q nfsv3 || : ;; nfs4) modprobe -q nfsv4 || : ;; esac
    LIBMOUNT_FORCE_MOUNT2=always mount -t "$swarmboot_type" -o "$swarmboot_options" "$swarmboot_device" \
        "$swarmboot_where" 2>"$swarmboot_run/handover/storage-error" &
    swarmboot_mounting=$!
    case $swarmboot_type in nfs*) swarmboot_bound "$swarmboot_mounting" & ;; esac
    if wait $swarmboot_mounting; then return 0; fi
    ! read -r swarmboot_line <"$swarmboot_run/handover/storage-error" || swarmboot_why="$swarmboot_why: $swarmboot_line"
    return 1
}

# Kill the process $1 once it has taken too long; end with it.
swarmboot_bound() {
    swarmboot_tries=0
    while kill -0 "$1" 2>/dev/null; do
        [ "$swarmboot_tries" -lt "$swarmboot_nfs_patience" ] || kill -9 "$1" 2>/dev/null
        swarmboot_tries=$((swarmboot_tries + 1))
        sleep 1
    done
}
