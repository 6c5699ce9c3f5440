#!/bin/bash
# The dracut module `swarmboot`: see dracut.modules(7). Written for dracut 059 and for dracut-ng.

# Called by dracut: only where somebody asks for the module, and only if it is whole.
check() {
    local code=${SWARMBOOT_CODE:-/usr/lib/swarmboot} config=${SWARMBOOT_CONFIG:-/etc/swarmboot} needed
    [[ -e $config/fleet.pub ]] || return 1 # not set up: as the package installs it
    require_binaries cat chmod chroot cp ip ln mkdir modprobe mount mv readlink rm rmdir sleep tr umount || return 1
    for needed in "$code/runtime.squashfs" "$code/runtime.libraries" "$config/fleet.pub"; do
        if [[ ! -s $needed ]]; then
            derror "swarmboot: $needed is missing; run: swarmboot hook install --dracut"
            return 1
        fi
    done
    return 255
}

# Called by dracut.
depends() {
    local module
    echo network
    # shellcheck disable=SC2154 # dracutbasedir is dracut's
    for module in "$dracutbasedir"/modules.d/[0-9][0-9]initqueue; do # a module of its own in newer ones
        [[ ! -d $module ]] || echo initqueue
    done
}

# Called by dracut.
installkernel() {
    local config=${SWARMBOOT_CONFIG:-/etc/swarmboot} name
    instmods loop squashfs overlay af_packet
    # Nodes that go on before all is there (swarmboot.lazy) say so in what is baked in.
    ! grep -qsiE '^(lazy|trace)=(1|on|yes|true)' "$config/defaults" || instmods fuse
    # So do those that have a cache on a disk (swarmboot.cache).
    ! grep -qsE '^cache=(LABEL=|UUID=|/)' "$config/defaults" ||
        instmods ext4 virtio_blk virtio_scsi nvme ahci sd_mod mmc_block xen-blkfront hv_storvsc
    # And those that mount a release's storage (swarmboot.storage).
    for name in $(sed -n 's/^storage=//p' "$config/defaults" 2>/dev/null | tr ',' ' '); do
        case $name in
            nfs) instmods nfs nfsv3 ;;
            nfs4) instmods nfs nfsv4 ;;
            ext4 | xfs | btrfs)
                instmods "$name" virtio_blk virtio_scsi nvme ahci sd_mod mmc_block xen-blkfront hv_storvsc
                ;;
        esac
    done
    # And those that swap to compressed RAM (swarmboot.zram), with ways to compress that zram asks for by name.
    ! has_zram || instmods zram zstd lz4 lzo-rle
}

# Succeed if nodes with this initramfs swap to compressed RAM.
has_zram() {
    grep -qsiE '^zram=([1-9]|on|yes|true)' "${SWARMBOOT_CONFIG:-/etc/swarmboot}/defaults"
}

# Called by dracut.
install() {
    local code=${SWARMBOOT_CODE:-/usr/lib/swarmboot} config=${SWARMBOOT_CONFIG:-/etc/swarmboot} name library
    # shellcheck disable=SC2154 # moddir and systemdsystemunitdir are dracut's
    inst_hook cmdline 20 "$moddir/swarmboot-cmdline.sh"
    inst_hook pre-udev 95 "$moddir/swarmboot-bootif.sh"
    inst_hook initqueue/settled 90 "$moddir/swarmboot-wait.sh"
    inst_hook mount 10 "$moddir/swarmboot-mount.sh"
    inst_multiple cat chmod chroot cp ip ln mkdir modprobe mount mv readlink rm rmdir sleep tr umount
    ! has_zram || inst_multiple mkswap swapon
    for name in "$code"/*.sh; do
        inst_simple "$name" "/usr/lib/swarmboot/${name##*/}"
    done
    for name in seed.service seed.socket seed.init keep.service runtime.squashfs runtime.libraries; do
        inst_simple "$code/$name" "/usr/lib/swarmboot/$name"
    done
    for name in fleet.pub ca.pem defaults fleet.token; do # and nothing else of the server's, whose folder it may be
        [ ! -e "$config/$name" ] || inst_simple "$config/$name" "/etc/swarmboot/$name"
    done
    # The hooks wait themselves, for an address on any card; these wait for an answer on every one.
    # shellcheck disable=SC2154
    for name in systemd-networkd-wait-online nm-wait-online-initrd NetworkManager-wait-online-initrd; do
        inst_simple "$moddir/wait-online.conf" "$systemdsystemunitdir/$name.service.d/99-swarmboot.conf"
    done
    while read -r library; do
        # not inst_library, which dracut 106 no longer has
        inst_simple "$library" || dfatal "swarmboot: $library cannot be put into the image"
    done <"$code/runtime.libraries"
    dracut_need_initqueue
}
