#!/bin/sh
# A root in use before it is whole (docs/decisions/0056): sourced by driver.sh. POSIX sh; needs mount, umount, modprobe,
# chroot and sleep.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

# Succeed if swarmboot.lazy or swarmboot.trace asks for it and this kernel has what it takes.
swarmboot_is_lazy() {
    swarmboot_is_on lazy || swarmboot_is_on trace || return 1
    modprobe -q fuse || :
    # Where the module is not there its device may be, and a shell that cannot open what it is to `exec` ends.
    [ -c "$swarmboot_fuse" ] && (: <>"$swarmboot_fuse") 2>/dev/null && return 0
    swarmboot_say 'swarmboot.lazy is on, and FUSE is not there: fetching all of it first'
    return 1
}

# Succeed if the argument $1 is a switch that is on.
swarmboot_is_on() {
    case $(swarmboot_argument "$1") in 1 | [Yy][Ee][Ss] | [Oo][Nn] | [Tt][Rr][Uu][Ee]) ;; *) return 1 ;; esac
}

# Start the leecher below its server of reads, and return when the root can be put together: with 0 then, though not all
# of it is there yet, and with the leecher's status if it ends before. What both say goes to the console from the
# beginning, because they outlive whoever reads an initramfs's output.
swarmboot_fetch_lazily() {
    rm -f "$swarmboot_run/handover/plan" "$swarmboot_run/handover/devices" "$swarmboot_run/images/lazy.json"
    exec 8<>"$swarmboot_fuse"
    swarmboot_options=ro,fd=8,rootmode=40000,user_id=0,group_id=0,allow_other
    if ! mount -t fuse -o "$swarmboot_options" swarmboot-lazy "$swarmboot_run/runtime/mnt"; then
        exec 8>&-
        swarmboot_say 'FUSE cannot be mounted: fetching all of it first'
        swarmboot_leecher leecher.initramfs fetch >&2
        return
    fi
    swarmboot_leecher leecher.initramfs.lazy 9 8 /mnt /usr/bin/python3 -I -S -B -m leecher.initramfs fetch \
        >"$swarmboot_console" 2>&1 9</ &
    swarmboot_server=$!
    exec 8>&-
    while [ ! -s "$swarmboot_run/handover/plan" ] && kill -0 "$swarmboot_server" 2>/dev/null; do sleep 0.1; done
    umount -l "$swarmboot_run/runtime/mnt" # the loop devices hold it, and shutdown has nothing to unmount
    [ -s "$swarmboot_run/handover/devices" ] || wait "$swarmboot_server"
}

# End what an attempt before has begun, for a retry from the rescue shell: what is mounted at $1 of images that may still
# arrive, the server of reads and its leecher, which the next would write the same files beside, and the devices. What
# was fetched stays there for the next.
swarmboot_end_window() {
    [ -s "$swarmboot_run/handover/devices" ] || return 0
    swarmboot_take_apart "$1"
    if [ -s "$swarmboot_run/handover/server" ] && read -r swarmboot_server <"$swarmboot_run/handover/server"; then
        kill "$swarmboot_server" 2>/dev/null
        swarmboot_waited=0 # it gives its leecher ten seconds
        while kill -0 "$swarmboot_server" 2>/dev/null && [ $swarmboot_waited -lt 150 ]; do
            swarmboot_waited=$((swarmboot_waited + 1))
            sleep 0.1
        done
    fi
    while read -r _ swarmboot_device; do # of a window that was over nobody has taken them away
        swarmboot_leecher leecher.lazy.loop "$swarmboot_device" </dev/null
    done <"$swarmboot_run/handover/devices"
    rm -f "$swarmboot_run/handover/devices" "$swarmboot_run/handover/server"
}

# Have Debian's sysvinit spare, when it ends all processes, those that the root stands on (sendsigs(8)); systemd knows
# them by their names.
swarmboot_spare_server() {
    [ -s "$swarmboot_run/handover/server" ] || return 0
    mkdir -p /run/sendsigs.omit.d
    cp "$swarmboot_run/handover/server" /run/sendsigs.omit.d/swarmboot
}

# Print the device on which the image $1 can be read before it is whole, if there is one.
swarmboot_device_of() {
    [ -s "$swarmboot_run/handover/devices" ] || return 0
    while read -r swarmboot_image swarmboot_device; do
        [ "$swarmboot_image" != "$1" ] || echo "$swarmboot_device"
    done <"$swarmboot_run/handover/devices"
}
