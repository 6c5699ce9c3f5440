#!/bin/sh
# dracut's hook `initqueue/settled`, sourced again and again: wait for an address, for ever rather than rd.retry.
# shellcheck source=initramfs-hook/driver.sh
. /usr/lib/swarmboot/driver.sh

if swarmboot_is_enabled && ! swarmboot_has_address; then
    swarmboot_waited=$((${swarmboot_waited:-0} + 1))
    [ $((swarmboot_waited % 60)) -ne 0 ] || swarmboot_say "still no address after $(swarmboot_uptime) s"
    # shellcheck disable=SC2034 # dracut's own name
    [ $swarmboot_waited -gt 120 ] && [ -n "$(swarmboot_argument timeout)" ] || main_loop=0
fi
