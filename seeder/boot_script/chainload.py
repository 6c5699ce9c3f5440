"""What a local disk or a USB stick holds so that a machine without network boot comes to the server all the same. Pure.

GRUB under UEFI has a network of its own (manual, section 17); under BIOS it starts iPXE as a Linux kernel
(ipxe.org/embed, ipxe.org/gpxe: `ipxe.lkrn` takes commands as its command line and a script as its initrd).
Lines are literal templates filled in by `seeder.boot_script.grammar`, which quotes: no text is put together here.
"""

from __future__ import annotations

from seeder.boot_script.grammar import Source, WebUrl, grub, ipxe, text_of


def _script(origin: Source) -> WebUrl:
    """Return the script that asks again with the machine's MAC address and kind (`ipxe_entry`)."""
    return WebUrl(origin, "/boot.ipxe")


def grub_menu_entry(origin: Source) -> str:
    """Return a menu entry for `/etc/grub.d/40_custom` or `custom.cfg`, for BIOS and UEFI machines alike.

    If there is no network or no server, GRUB shows its menu again.
    """
    return text_of(
        [
            grub("menuentry 'swarmboot' --id swarmboot {"),
            grub('    if [ "$grub_platform" = efi ]; then'),
            grub("        insmod efinet"),
            grub("        insmod http"),
            grub("        net_bootp"),
            grub("        configfile <origin>/grub.cfg", origin=origin),
            grub("    else"),
            grub("        search --no-floppy --file --set=root /boot/ipxe.lkrn"),
            grub("        linux16 /boot/ipxe.lkrn dhcp '&&' chain <url>", url=_script(origin)),
            grub("    fi"),
            grub("}"),
        ]
    )


def ipxe_start(origin: Source) -> str:
    """Return the script that an iPXE of one's own begins with, `autoexec.ipxe` or `EMBED=`: it asks until answered."""
    ask = "dhcp && chain <url> || echo swarmboot: no answer, asking again in 2 s"
    return text_of(
        [
            ipxe("#!ipxe"),
            ipxe(":start"),
            ipxe(ask, url=_script(origin)),
            ipxe("sleep 2"),
            ipxe("goto start"),
        ]
    )


def stick_menu(origin: Source) -> str:
    """Return the grub.cfg of a stick that does nothing else: no menu, and it asks until it is answered."""
    return text_of(
        [
            grub('if [ "$grub_platform" = efi ]; then'),
            grub("    insmod efinet"),
            grub("    insmod http"),
            grub("    while true; do"),
            grub("        net_bootp"),
            grub("        configfile <origin>/grub.cfg", origin=origin),
            grub("        echo 'swarmboot: no answer, asking again in 2 s'"),
            grub("        sleep 2"),
            grub("    done"),
            grub("else"),
            grub("    linux16 /boot/ipxe.lkrn"),
            grub("    initrd16 /boot/start.ipxe"),
            grub("    boot"),
            grub("fi"),
        ]
    )
