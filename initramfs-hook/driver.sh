#!/bin/sh
# The shared driver of the initramfs hook: sourced by the adapters for initramfs-tools and dracut, which bring the
# network up, call swarmboot_boot with the folder that the root belongs in, and stop the boot if it fails.
# POSIX sh; needs mount (with loop), umount, modprobe, chroot, cat, cp, mv, rm, mkdir and sleep. What to fetch, whom to believe and
# what to unpack is decided by the leecher, which runs in its own image; here is only what needs a mount.

swarmboot_cmdline=${swarmboot_cmdline:-/proc/cmdline}
swarmboot_files=${swarmboot_files:-/usr/lib/swarmboot}
swarmboot_config=${swarmboot_config:-/etc/swarmboot}
swarmboot_run=/run/swarmboot
swarmboot_ipv6_since=${swarmboot_ipv6_since:-/run/swarmboot-ipv6-since}
swarmboot_console=${swarmboot_console:-/dev/console}
swarmboot_newline='
'
swarmboot_space=$(printf ' \t\v\f\r')$swarmboot_newline

# Print one line on the console.
swarmboot_say() {
    echo "swarmboot: $*" >"$swarmboot_console" 2>/dev/null || echo "swarmboot: $*" >&2
}

# Take up the kernel command line for swarmboot_next_argument; the last line end is /proc's.
swarmboot_read_arguments() {
    swarmboot_left=
    swarmboot_gap=
    while IFS= read -r swarmboot_line || [ -n "$swarmboot_line" ]; do
        swarmboot_left=$swarmboot_left$swarmboot_gap$swarmboot_line
        swarmboot_gap=$swarmboot_newline
    done <"$swarmboot_cmdline"
}

# Put the next argument into swarmboot_name and swarmboot_value, which is `on` if it has none (then swarmboot_word is the
# name alone). Fails at the end, or at `--`. As the kernel takes it apart: swarmboot/arguments.py, with the same tests.
swarmboot_next_argument() {
    # shellcheck disable=SC2295 # within brackets it is a list of characters
    swarmboot_left=${swarmboot_left#"${swarmboot_left%%[!$swarmboot_space]*}"}
    [ -n "$swarmboot_left" ] || return 1
    swarmboot_word=
    while :; do
        # shellcheck disable=SC2295
        swarmboot_part=${swarmboot_left%%[$swarmboot_space\"]*}
        swarmboot_word=$swarmboot_word$swarmboot_part
        swarmboot_left=${swarmboot_left#"$swarmboot_part"}
        case $swarmboot_left in
            \"*\"*)
                swarmboot_part=${swarmboot_left#\"}
                swarmboot_part=\"${swarmboot_part%%\"*}\"
                ;;
            \"*) swarmboot_part=$swarmboot_left ;;
            *) break ;;
        esac
        swarmboot_word=$swarmboot_word$swarmboot_part
        swarmboot_left=${swarmboot_left#"$swarmboot_part"}
    done
    swarmboot_quoted=no
    case $swarmboot_word in \"*) swarmboot_quoted=yes ;; esac
    swarmboot_word=${swarmboot_word#\"}
    swarmboot_value=${swarmboot_word#?} # an argument that begins with = has no name there
    swarmboot_name=${swarmboot_word%"$swarmboot_value"}${swarmboot_value%%=*}
    case $swarmboot_value in
        *=*)
            swarmboot_value=${swarmboot_value#*=}
            case $swarmboot_value in \"*) swarmboot_quoted=yes ;; esac
            swarmboot_value=${swarmboot_value#\"}
            [ $swarmboot_quoted = no ] || swarmboot_value=${swarmboot_value%\"}
            ;;
        *)
            [ $swarmboot_quoted = no ] || swarmboot_name=${swarmboot_name%\"}
            swarmboot_word=$swarmboot_name
            swarmboot_value=on
            [ "$swarmboot_name" != -- ]
            ;;
    esac
}

# Print the value of the setting $1: the last kernel argument swarmboot.NAME, else what stands in the node's own file,
# else what was baked in.
swarmboot_argument() {
    swarmboot_found=
    for swarmboot_file in "$swarmboot_config/defaults" "$swarmboot_config/node"; do
        [ -r "$swarmboot_file" ] || continue
        while read -r swarmboot_line || [ -n "$swarmboot_line" ]; do
            case $swarmboot_line in "$1="*) swarmboot_found=${swarmboot_line#*=} ;; esac
        done <"$swarmboot_file"
    done
    swarmboot_read_arguments
    while swarmboot_next_argument; do
        [ "$swarmboot_name" != "swarmboot.$1" ] || swarmboot_found=$swarmboot_value
    done
    printf '%s\n' "$swarmboot_found"
}

# Succeed if the kernel command line asks for swarmboot. swarmboot=0 wins over everything; a misspelt argument counts,
# so that the leecher can name it.
swarmboot_is_enabled() {
    swarmboot_wanted=no
    swarmboot_read_arguments
    while swarmboot_next_argument; do
        case $swarmboot_name=$swarmboot_value in
            swarmboot=0 | swarmboot=off | swarmboot=no) swarmboot_wanted=never ;;
            swarmboot=* | swarmboot.* | swarmboot_* | root=swarmboot | boot=swarmboot)
                [ $swarmboot_wanted = never ] || swarmboot_wanted=yes
                ;;
        esac
    done
    [ $swarmboot_wanted = yes ]
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

# Print what the network calls this machine: DHCP's word to ipconfig or networkd, or that of ip=.
swarmboot_host_name() {
    for swarmboot_file in /run/net-*.conf /run/systemd/netif/leases/*; do
        [ -f "$swarmboot_file" ] || continue
        while IFS='=' read -r swarmboot_name swarmboot_value; do
            swarmboot_value=${swarmboot_value#[\"\']}
            swarmboot_value=${swarmboot_value%[\"\']}
            case $swarmboot_name=$swarmboot_value in HOSTNAME=?*) printf '%s\n' "$swarmboot_value" && return ;; esac
        done <"$swarmboot_file"
    done
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
# console and the seeder why it gives up. Only a leecher that dies is started again, three times. Its progress goes to
# standard error, because dracut's units keep standard output from the console.
swarmboot_fetch() {
    swarmboot_deaths=0
    while :; do
        swarmboot_leecher leecher.initramfs fetch >&2
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

# Print the plan's value of a name that stands once.
swarmboot_planned() {
    while read -r swarmboot_name swarmboot_value; do
        [ "$swarmboot_name" != "$1" ] || echo "$swarmboot_value"
    done <"$swarmboot_run/handover/plan"
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

# Mount every image of the plan and put them together at $1: layers in order, the last one on top, a tmpfs over them.
swarmboot_assemble() {
    swarmboot_take_apart "$1"
    swarmboot_size=$(swarmboot_planned overlay)
    swarmboot_lower=
    swarmboot_number=0
    swarmboot_tars=no
    while read -r swarmboot_role swarmboot_format swarmboot_name; do
        swarmboot_layer=$swarmboot_run/layers/$swarmboot_number
        case $swarmboot_role/$swarmboot_format in
            root/squashfs | plugin/squashfs)
                mkdir "$swarmboot_layer"
                mount -t squashfs -o loop,ro "$swarmboot_run/images/$swarmboot_name" "$swarmboot_layer" ||
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
        [ -s "$swarmboot_run/handover/secret.env" ]; then
        swarmboot_unpack plugins "$1" || swarmboot_fail_as_told 'a plugin cannot be unpacked' || return 1
    elif [ -s "$swarmboot_run/handover/environment" ]; then
        cp "$swarmboot_run/handover/environment" "$1/etc/environment"
    fi
    ! swarmboot_hides_libraries || swarmboot_unpack libraries "$1" ||
        swarmboot_say "programs may not find the libraries of every plugin (status $swarmboot_status)"
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

# Leave behind what starts the leecher again, as a neighbour, once the root at $1 has booted.
swarmboot_keep_seeding() {
    [ "$(swarmboot_planned seed)" = on ] || return 0
    cp "$swarmboot_files/seed.init" "$swarmboot_run/seed"
    for swarmboot_file in "$1/lib/systemd/systemd" "$1/usr/lib/systemd/systemd"; do
        [ -e "$swarmboot_file" ] || [ -L "$swarmboot_file" ] || continue
        mkdir -p /run/systemd/system/multi-user.target.wants
        cp "$swarmboot_files/seed.service" /run/systemd/system/swarmboot-seed.service
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

# Everything from a network that is up to a root at $1. Returns 1, having said why, if the boot must stop.
swarmboot_boot() {
    swarmboot_say "an address after $(swarmboot_uptime) s:$(swarmboot_addresses)"
    swarmboot_prepare || swarmboot_fail "$swarmboot_run cannot be set up: is there room in RAM, are loop and squashfs there?" ||
        return 1
    swarmboot_name_servers >"$swarmboot_run/etc/resolv.conf"
    swarmboot_host_name >"$swarmboot_run/handover/hostname"
    swarmboot_follow_name_servers &
    swarmboot_follower=$!
    swarmboot_fetch
    swarmboot_status=$?
    kill "$swarmboot_follower" 2>/dev/null
    [ $swarmboot_status -eq 0 ] || return 1
    swarmboot_lay_down ''
    if ! swarmboot_assemble "$1" || ! swarmboot_check_init "$1"; then
        swarmboot_unmount "$1" # or it would be taken for a root, dracut's way
        return 1
    fi
    swarmboot_keep_seeding "$1"
    rm -f "$swarmboot_run/handover/secret.env" "$swarmboot_run/etc/fleet.token" # the booted system has no use for them
    for swarmboot_folder in run/swarmboot dev proc sys; do umount "$swarmboot_run/runtime/$swarmboot_folder"; done
    swarmboot_say "the root is ready after $(swarmboot_uptime) s"
}

# Print the seconds since the kernel started.
swarmboot_uptime() {
    read -r swarmboot_seconds _ </proc/uptime
    echo "$swarmboot_seconds"
}
