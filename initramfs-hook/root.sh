#!/bin/sh
# The root put together of its layers, and looked at before it is left to itself: sourced by driver.sh. POSIX sh; needs
# mount (with loop and overlay), umount, chmod, cp, mkdir, readlink and rmdir.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

# Put the images of the plan together at $1: layers in order, the last one on top, a tmpfs over them.
swarmboot_assemble() {
    swarmboot_take_apart "$1"
    swarmboot_size=$(swarmboot_planned overlay)
    swarmboot_mount_layers || return 1
    if [ "$(swarmboot_planned search)" = on ]; then
        swarmboot_unpack layers "$swarmboot_run/layers" ||
            swarmboot_fail_as_told 'the plugins cannot be searched' || return 1
    fi
    swarmboot_check_merged || return 1
    mkdir "$swarmboot_run/changes"
    mount -t tmpfs -o "mode=0755,size=$swarmboot_size" swarmboot-changes "$swarmboot_run/changes" || return 1
    mkdir "$swarmboot_run/changes/upper" "$swarmboot_run/changes/work"
    chmod 0755 "$swarmboot_run/changes/upper"
    swarmboot_stack "$1" || swarmboot_fail 'the layers cannot be put together as an overlay' || return 1
    if [ $swarmboot_tars != no ] || [ -s "$1/etc/environment" ] || [ -L "$1/etc/environment" ] ||
        [ -s "$swarmboot_run/handover/secret.env" ] || [ -s "$swarmboot_run/handover/own-files" ]; then
        swarmboot_unpack plugins "$1" || swarmboot_fail_as_told 'a plugin cannot be unpacked' || return 1
    elif [ -s "$swarmboot_run/handover/environment" ]; then
        cp "$swarmboot_run/handover/environment" "$1/etc/environment"
    fi
    ! swarmboot_hides_libraries || swarmboot_unpack libraries "$1" ||
        swarmboot_say "programs may not find the libraries of every plugin (status $swarmboot_status)"
}

# Mount every image of the plan that is a layer, or unpack it: $swarmboot_lower names them for the overlay, and
# $swarmboot_tars says whether one or several plugins are left to be unpacked over them.
swarmboot_mount_layers() {
    swarmboot_lower=
    swarmboot_number=0
    swarmboot_tars=no
    while read -r swarmboot_role swarmboot_format swarmboot_name; do
        swarmboot_layer=$swarmboot_run/layers/$swarmboot_number
        case $swarmboot_role/$swarmboot_format in
            root/squashfs | plugin/squashfs)
                mkdir "$swarmboot_layer"
                swarmboot_mount_image "$swarmboot_name" "$swarmboot_layer" ||
                    swarmboot_fail "$swarmboot_name cannot be mounted: is it a squashfs that this kernel can read?" ||
                    return 1
                ;;
            root/*)
                mkdir "$swarmboot_layer"
                mount -t tmpfs -o "mode=0755,size=$swarmboot_size" swarmboot-root "$swarmboot_layer" || return 1
                swarmboot_unpack image "$swarmboot_layer" ||
                    swarmboot_fail_as_told "$swarmboot_name cannot be unpacked" || return 1
                ;;
            plugin/*)
                if [ $swarmboot_tars = no ]; then swarmboot_tars=one; else swarmboot_tars=several; fi
                continue
                ;;
            *) continue ;;
        esac
        swarmboot_lower=$swarmboot_number${swarmboot_lower:+:$swarmboot_lower}
        swarmboot_number=$((swarmboot_number + 1))
    done <"$swarmboot_run/handover/plan"
}

# Mount the squashfs $1 of the images at $2: the file, or the device on which it can be read while it arrives.
swarmboot_mount_image() {
    swarmboot_device=$(swarmboot_device_of "$1")
    if [ -n "$swarmboot_device" ]; then
        mount -t squashfs -o ro "$swarmboot_device" "$2"
    else
        mount -t squashfs -o loop,ro "$swarmboot_run/images/$1" "$2"
    fi
}

# Take apart what an attempt before has left, for a retry from the rescue shell.
swarmboot_take_apart() {
    swarmboot_unmount "$swarmboot_run/runtime/mnt"
    swarmboot_unmount "$1"
    for swarmboot_layer in "$swarmboot_run"/layers/* "$swarmboot_run/changes"; do
        [ -d "$swarmboot_layer" ] || continue
        swarmboot_unmount "$swarmboot_layer"
        rmdir "$swarmboot_layer"
    done
}

# Mount the overlay of $swarmboot_lower at $1, and succeed only if every layer and the writable one are there. From
# inside their folder, so that names are short: mount(2) cuts options at a page and succeeds without the rest, and the
# newer calls, which util-linux 2.39 and later would use, take no value of more than 255 bytes.
swarmboot_stack() {
    swarmboot_options="lowerdir=$swarmboot_lower,upperdir=../changes/upper,workdir=../changes/work"
    (cd "$swarmboot_run/layers" && LIBMOUNT_FORCE_MOUNT2=always mount -t overlay -o "$swarmboot_options" swarmboot "$1") ||
        return 1
    while read -r _ swarmboot_where swarmboot_type swarmboot_found _; do
        [ "$swarmboot_where $swarmboot_type" = "$1 overlay" ] || continue
        case $swarmboot_found in *",$swarmboot_options"*) return 0 ;; esac
        swarmboot_say "expected $swarmboot_options, found $swarmboot_found"
    done <"${swarmboot_mounts:-/proc/mounts}"
    return 1
}

# Fail if a plugin's layer brings a folder where the root has a link, as /lib has on a merged root: it would hide all
# that the link leads to, the root's dynamic loader among it.
swarmboot_check_merged() {
    for swarmboot_link in "$swarmboot_run"/layers/0/*; do
        [ -L "$swarmboot_link" ] || continue
        swarmboot_part=${swarmboot_link##*/}
        swarmboot_layer=0
        while read -r swarmboot_role swarmboot_format swarmboot_name; do
            case $swarmboot_role/$swarmboot_format in
                root/*) continue ;;
                plugin/squashfs) swarmboot_layer=$((swarmboot_layer + 1)) ;;
                *) continue ;;
            esac
            swarmboot_found=$swarmboot_run/layers/$swarmboot_layer/$swarmboot_part
            if [ -d "$swarmboot_found" ] && [ ! -L "$swarmboot_found" ]; then
                swarmboot_fail "$swarmboot_name brings /$swarmboot_part as a folder, where the root has a link to" \
                    "$(readlink "$swarmboot_link"): pack it again with its files below $(readlink "$swarmboot_link")"
                return 1
            fi
        done <"$swarmboot_run/handover/plan"
    done
}

# Succeed if one plugin's ld.so.cache may hide the libraries that others bring, in folders of their own or not: if
# several bring a cache or folders to search, or one brings folders and no cache (ld.so(8), ldconfig(8)).
swarmboot_hides_libraries() {
    swarmboot_number=0
    swarmboot_caches=0
    for swarmboot_layer in "$swarmboot_run"/layers/*/etc "$swarmboot_run/changes/upper/etc"; do
        [ "$swarmboot_layer" != "$swarmboot_run/layers/0/etc" ] || continue
        for swarmboot_file in "$swarmboot_layer/ld.so.cache" "$swarmboot_layer"/ld.so.conf.d/*; do
            [ -e "$swarmboot_file" ] || continue
            swarmboot_number=$((swarmboot_number + 1))
            [ "$swarmboot_layer" != "$swarmboot_run/changes/upper/etc" ] || [ "$swarmboot_tars" != several ] ||
                swarmboot_number=$((swarmboot_number + 1))
            break
        done
        [ ! -e "$swarmboot_layer/ld.so.cache" ] || swarmboot_caches=$((swarmboot_caches + 1))
    done
    [ $swarmboot_number -gt 1 ] || [ $swarmboot_number -gt $swarmboot_caches ]
}

# Look at the root at $1 as the kernel is going to: is there an init, and may it be run? A root that none of it starts
# would be left only by a panic, and nobody would be told.
swarmboot_check_init() {
    swarmboot_init=
    swarmboot_read_arguments
    while swarmboot_next_argument; do
        [ "$swarmboot_name" != init ] || [ "$swarmboot_word" = init ] || swarmboot_init=$swarmboot_value
    done
    for swarmboot_file in "${swarmboot_init:-/sbin/init}" "${swarmboot_init:-/etc/init}" "${swarmboot_init:-/bin/init}"; do
        swarmboot_found=$(swarmboot_resolve "$1" "$swarmboot_file") || continue
        [ ! -f "$swarmboot_found" ] || [ ! -x "$swarmboot_found" ] || return 0
    done
    swarmboot_fail "the root has no init: expected ${swarmboot_init:-/sbin/init} to be a program, found none; is \
the image a whole system, and does no plugin hide its /sbin or /usr?"
}

# Print where a path of the root at $1 leads, links followed as in that root; fail if they go round in a circle.
swarmboot_resolve() {
    swarmboot_left=$2
    swarmboot_at=
    swarmboot_hops=0
    while [ -n "$swarmboot_left" ]; do
        swarmboot_left=${swarmboot_left#/}
        swarmboot_part=${swarmboot_left%%/*}
        swarmboot_left=${swarmboot_left#"$swarmboot_part"}
        case $swarmboot_part in
            '' | .) continue ;;
            ..)
                swarmboot_at=${swarmboot_at%/*}
                continue
                ;;
        esac
        if [ ! -L "$1$swarmboot_at/$swarmboot_part" ]; then
            swarmboot_at=$swarmboot_at/$swarmboot_part
            continue
        fi
        swarmboot_hops=$((swarmboot_hops + 1))
        [ $swarmboot_hops -le 40 ] || return 1
        swarmboot_target=$(readlink "$1$swarmboot_at/$swarmboot_part")
        case $swarmboot_target in /*) swarmboot_at= ;; esac
        swarmboot_left=$swarmboot_target$swarmboot_left
    done
    echo "$1$swarmboot_at"
}
