#!/bin/sh
# The leecher in its image: mounted, run, and what its end means to the boot. Sourced by driver.sh. POSIX sh; needs mount
# (with loop), umount, modprobe, chroot, cp, rm, mkdir, chmod and sleep.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

# Succeed if the leecher's image is mounted. Its python3 may be an absolute link, which leads nowhere from here.
swarmboot_has_leecher() {
    [ -x "$swarmboot_run/runtime/usr/bin/python3" ] || [ -L "$swarmboot_run/runtime/usr/bin/python3" ]
}

# Make the tmpfs that everything goes to, of a size of its own, and mount the leecher's image in it. May be run again,
# wherever it was left the last time: each mount is made once.
swarmboot_prepare() {
    for swarmboot_module in loop squashfs overlay; do modprobe -q "$swarmboot_module" || :; done
    mkdir -p "$swarmboot_run"
    swarmboot_is_mounted "$swarmboot_run" || swarmboot_make_tmpfs || return 1
    for swarmboot_folder in etc lib images layers runtime handover stage0; do
        mkdir -p "$swarmboot_run/$swarmboot_folder"
    done
    chmod 1777 "$swarmboot_run/stage0"
    cp -L "$swarmboot_config"/* "$swarmboot_run/etc/"
    echo '127.0.0.1 localhost' >"$swarmboot_run/etc/hosts"
    echo '::1 localhost' >>"$swarmboot_run/etc/hosts"
    swarmboot_is_mounted "$swarmboot_run/runtime" || swarmboot_mount_leecher || return 1
    for swarmboot_folder in dev proc sys run/swarmboot; do
        swarmboot_is_mounted "$swarmboot_run/runtime/$swarmboot_folder" ||
            mount --bind "/$swarmboot_folder" "$swarmboot_run/runtime/$swarmboot_folder" || return 1
    done
}

# Mount the tmpfs, as large as swarmboot.memory has it.
swarmboot_make_tmpfs() {
    swarmboot_size=$(swarmboot_argument memory)
    case $swarmboot_size in # a malformed one is named by the leecher
        [1-9]*[0-9%kKmMgG]) ;;
        *) swarmboot_size=75% ;;
    esac
    mount -t tmpfs -o "mode=0755,nodev,nosuid,size=$swarmboot_size" swarmboot "$swarmboot_run" ||
        mount -t tmpfs -o mode=0755,nodev,nosuid,size=75% swarmboot "$swarmboot_run" || return 1
    mount --make-private "$swarmboot_run" # systemd shares mounts: what is bound below would come back here
}

# Mount the leecher's image, with the libraries that it borrows beside it.
swarmboot_mount_leecher() {
    while read -r swarmboot_library; do
        cp -L "$swarmboot_library" "$swarmboot_run/lib/" || return 1
    done <"$swarmboot_files/runtime.libraries"
    cp "$swarmboot_files/runtime.squashfs" "$swarmboot_run/" || return 1
    mount -t squashfs -o loop,ro,nodev,nosuid "$swarmboot_run/runtime.squashfs" "$swarmboot_run/runtime"
}

# Run a module of the leecher in its image.
swarmboot_leecher() {
    LANG=C.UTF-8 chroot "$swarmboot_run/runtime" /usr/bin/python3 -I -S -B -m "$@"
}

# Say why the boot stops, on the console and to the seeder, and fail.
swarmboot_fail() {
    swarmboot_say "$*"
    ! swarmboot_has_leecher || swarmboot_leecher leecher.initramfs report "$*"
    return 1
}

# Fail after the leecher, having told the seeder why: in its own words, which the console has had from it, or, where it
# left none, in these.
swarmboot_fail_as_told() {
    swarmboot_reason=
    [ ! -s "$swarmboot_run/handover/failure" ] || read -r swarmboot_reason <"$swarmboot_run/handover/failure" || :
    [ -n "$swarmboot_reason" ] || swarmboot_fail "$* (status $swarmboot_status)" || return 1
    swarmboot_leecher leecher.initramfs report "$swarmboot_reason"
    return 1
}

# Fetch the images. The leecher retries network faults itself, for as long as swarmboot.timeout says; it has told the
# console and the seeder why it gives up, and hands in what else has been said. Only a leecher that dies is started again, three times. Its progress goes to
# standard error, because dracut's units keep standard output from the console.
swarmboot_fetch() {
    swarmboot_deaths=0
    while :; do
        if [ $swarmboot_deaths -eq 0 ] && swarmboot_is_lazy; then # after a death the surer way
            swarmboot_fetch_lazily
        else
            swarmboot_leecher leecher.initramfs fetch >&2
        fi
        swarmboot_status=$?
        case $swarmboot_status in
            0) return 0 ;;
            1[0-9]) swarmboot_why='what was offered is not to be trusted' ;;
            2[0-9]) swarmboot_why='the network failed for longer than swarmboot.timeout' ;;
            3[0-9]) swarmboot_why='the bytes are not the ones that were signed' ;;
            4[0-9]) swarmboot_why='a kernel argument is wrong' ;;
            5[0-9]) swarmboot_why='the release is broken' ;;
            6[0-9]) swarmboot_why='this machine lacks something' ;;
            *)
                swarmboot_deaths=$((swarmboot_deaths + 1))
                if [ $swarmboot_deaths -lt 3 ]; then
                    swarmboot_say "the leecher ended with status $swarmboot_status; starting it again"
                    sleep $((swarmboot_deaths * 2))
                    continue
                fi
                swarmboot_fail "the leecher ended three times, the last time with status $swarmboot_status"
                return 1
                ;;
        esac
        swarmboot_say "stopped: $swarmboot_why (status $swarmboot_status, see the line before)"
        swarmboot_leecher leecher.initramfs log >&2
        return 1
    done
}

# Lay down the node's own files that the leecher has fetched, in the initramfs at $1.
swarmboot_lay_down() {
    [ -s "$swarmboot_run/handover/node-files" ] || return 0
    while IFS= read -r swarmboot_file; do
        mkdir -p "$1/${swarmboot_file%/*}"
        cp -p "$swarmboot_run/node-files.new/$swarmboot_file" "$1/$swarmboot_file" ||
            swarmboot_say "this node's own file $swarmboot_file cannot be laid down"
    done <"$swarmboot_run/handover/node-files"
    rm -rf "$swarmboot_run/node-files.new"
}

# Let the leecher unpack into a folder, or search what is mounted below it. It sees the folder as /mnt.
swarmboot_unpack() {
    rm -f "$swarmboot_run/handover/failure"
    swarmboot_status='of mount'
    mount --rbind "$2" "$swarmboot_run/runtime/mnt" || return 1
    swarmboot_leecher leecher.initramfs.root "$1" /mnt
    swarmboot_status=$?
    umount -l "$swarmboot_run/runtime/mnt"
    return $swarmboot_status
}
