#!/bin/sh
# dracut's hook `mount`, sourced until the root is there: one run, whatever the number of network cards.
# shellcheck source=initramfs-hook/driver.sh
. /usr/lib/swarmboot/driver.sh

# Obey panic= as the kernel does, else dracut's rescue shell; the root is tried again after that.
swarmboot_panic() {
    swarmboot_delay=$(getarg panic=)
    case $swarmboot_delay in
        -[1-9]*) # as the kernel has it: at once
            swarmboot_say "no root; rebooting at once, as panic= says"
            echo b >/proc/sysrq-trigger
            ;;
        '' | 0 | *[!0-9]*) emergency_shell 'swarmboot: no root; the lines above say why' ;;
        *)
            swarmboot_say "no root; rebooting in $swarmboot_delay s, as panic= says"
            sleep "$swarmboot_delay"
            echo b >/proc/sysrq-trigger
            ;;
    esac
}

# Let the root's own .network files come before ours, which is still there for a root that has none, and let it have
# the cards that BOOTIF= does not name.
swarmboot_step_back() {
    cd /run/systemd/network 2>/dev/null || return 0
    [ ! -e 60-swarmboot.network ] || mv 60-swarmboot.network 90-swarmboot.network
    rm -f 70-zz-swarmboot-others.network
    cd /
}

# The output of dracut's service goes to the journal alone, its errors go to the console as well.
if swarmboot_is_enabled && ! ismounted "$NEWROOT"; then
    if swarmboot_boot "$NEWROOT" >&2; then swarmboot_step_back; else swarmboot_panic; fi
fi
