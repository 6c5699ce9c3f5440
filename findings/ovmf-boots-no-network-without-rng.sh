#!/bin/sh
# OVMF: a virtual machine without a disk, with a network card, on a processor without RDRAND.
#
# One would expect: it goes on to boot from the network, as with Debian 12's firmware, or says what keeps it from that.
# What happens: with Debian 13's firmware nothing is asked of the network, by PXE or HTTP, and no boot entry for it is
# there: the network drivers wait for random numbers, from the processor or a virtio-rng device (tianocore/edk2#9530).
# QEMU's own default processor, qemu64, gives none, nor do most of the models that are called by name. No word of that on
# the console; with `-device virtio-rng-pci` the machine boots from the network as before.
# Whom it hurts: whoever tries a network boot in a virtual machine once its host has Debian 13.
# Needs root, dpkg, curl, qemu-system-x86_64 and Debian's mirror or snapshot; asks for 10 MB; takes a minute or two.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian 2022.11 20261030T000000Z e/edk2/ovmf_2022.11-6+deb12u2_all
unpack_debian 2025.02 20261130T000000Z e/edk2/ovmf_2025.02-8+deb13u1_all

# boots FIRMWARE OPTION...: print whether a machine asks the network, or ends in the firmware's shell
boots() {
    firmware=$1
    shift
    cp "$firmware/usr/share/OVMF/OVMF_VARS_4M.fd" variables
    : >console
    timeout 90 qemu-system-x86_64 -machine q35 -accel tcg -cpu qemu64 -m 256 -nodefaults -display none -serial file:console \
        -drive "if=pflash,format=raw,readonly=on,file=$firmware/usr/share/OVMF/OVMF_CODE_4M.fd" \
        -drive if=pflash,format=raw,file=variables \
        -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= "$@" 2>/dev/null &
    machine=$!
    found='neither within 90 s'
    while kill -0 $machine 2>/dev/null; do
        ! grep -aq 'Start PXE over IPv4' console || { found='asks the network' && break; }
        ! grep -aqE 'UEFI Interactive Shell|No bootable option' console || { found='finds nothing to boot' && break; }
        sleep 0.5
    done
    kill $machine 2>/dev/null || :
    wait $machine || :
    echo "$found"
}
older=$(boots 2022.11)
newer=$(boots 2025.02)
fed=$(boots 2025.02 -device virtio-rng-pci)
echo "OVMF 2022.11-6+deb12u2: $older; 2025.02-8+deb13u1: $newer, and with virtio-rng: $fed"
[ "$older; $newer; $fed" = 'asks the network; finds nothing to boot; asks the network' ] ||
    { echo 'the behaviour has changed'; exit 1; }
