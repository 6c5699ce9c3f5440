#!/bin/sh
# GRUB's command linux: a kernel argument with blanks, in quotes, as kernel-parameters.txt has it.
#
# One would expect: `linux /vmlinuz name="two words"` gives the kernel name="two words", as iPXE and U-Boot do, and what
# stands in single quotes arrives as it is.
# What happens: GRUB takes the quotes away and writes its own around the whole word: "name=two words". With single quotes
# around it, so that the double ones are kept, it writes a backslash before each of these, and before each backslash:
# "name=\"two words\"". The kernel knows no backslash and takes that for two arguments, name=\"two and words\"".
# 'name=a\b' arrives as name=a\\b.
# Whom it hurts: what goes through the words of /proc/cmdline and looks for name=*, as scripts of an initramfs and of live
# systems do, finds none that begins so; and what writes a grub.cfg with a shell's quotes.
# Needs dpkg, curl, cpio, xorriso, qemu-system-x86_64, grub-mkimage's libraries and Debian's mirror or snapshot; asks for
# 32 MB; takes a minute.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian machine 20261030T000000Z b/busybox/busybox-static_1.35.0-4+deb12u1+b1 \
    l/linux-signed-amd64/linux-image-6.1.0-50-cloud-amd64_6.1.176-1
unpack_debian 2.06 20261030T000000Z g/grub2/grub-pc-bin_2.06-13+deb12u2 g/grub2/grub-common_2.06-13+deb12u2
unpack_debian 2.12 20261130T000000Z g/grub2/grub-pc-bin_2.12-9+deb13u4

mkdir -p tree/bin tree/proc disc
cp machine/bin/busybox tree/bin/
cat >tree/init <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox cat /proc/cmdline
/bin/busybox poweroff -f
INIT
chmod +x tree/init
(cd tree && find . | cpio --quiet -o -H newc) >disc/initrd
cp machine/boot/vmlinuz-* disc/vmlinuz
cat >grub.cfg <<'GRUB'
set root=cd
linux /vmlinuz console=ttyS0 panic=-1 quiet -- plain="two words" 'kept="two words"' 'back=a\b' 'single=a b'
initrd /initrd
boot
GRUB

is_as_expected=yes
try() { # try VERSION: start the kernel from a disc with this GRUB
    2.06/usr/bin/grub-mkimage -O i386-pc-eltorito -d "$1/usr/lib/grub/i386-pc" -p / -c grub.cfg -o disc/core.img \
        biosdisk iso9660 linux
    xorriso -as mkisofs -quiet -b core.img -no-emul-boot -boot-load-size 4 -boot-info-table -o disc.iso disc 2>/dev/null
    timeout 100 qemu-system-x86_64 -accel tcg -m 256 -nographic -no-reboot -cdrom disc.iso </dev/null >console
    told=$(tr -d '\r' <console | sed -n 's/.*console=ttyS0.* -- //p')
    printf 'GRUB %s: %s\n' "$1" "$told"
    [ "$told" = '"plain=two words" "kept=\"two words\"" back=a\\b "single=a b"' ] || is_as_expected=no
}
try 2.06
try 2.12
[ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
