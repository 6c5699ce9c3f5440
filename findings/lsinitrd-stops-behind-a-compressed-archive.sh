#!/bin/sh
# lsinitrd, lsinitramfs, unmkinitramfs: an initramfs to which something has been appended.
#
# One would expect: the kernel unpacks archives behind one another, compressed or not (buffer-format.rst), dracut's own
# dracut-catimages makes such images, so the programs that show an initramfs show all of it, or say that they do not.
# What happens: they stop behind the first compressed archive. What dracut-catimages has laid there, its overlay, is
# not listed, and not unpacked by `lsinitrd --unpack` or unmkinitramfs; all of them end with status 0 and without a word,
# while the kernel has the file. So it is with dracut 059 and 112 and with initramfs-tools.
# Whom it hurts: whoever looks whether a file is in what machines load, and whoever unpacks an initramfs, changes it and
# packs it again: what was appended is gone. What goes uncompressed before the rest is shown by initramfs-tools' programs.
# Needs root, dpkg, curl, cpio, zstd, qemu-system-x86_64, apt and Debian's mirror or snapshot; asks for 30 MB; takes half
# a minute.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unpack_debian bookworm 20261030T000000Z d/dracut/dracut-core_059-4 b/busybox/busybox-static_1.35.0-4+deb12u1+b1 \
    l/linux-signed-amd64/linux-image-6.1.0-50-cloud-amd64_6.1.176-1
unpack_debian sid 20261130T000000Z d/dracut/dracut-core_112-7 g/glibc/libc6_2.43-7
apt-get -o APT::Sandbox::User=root --quiet=2 download initramfs-tools-core=0.142+deb12u3
dpkg -x initramfs-tools-core_*.deb bookworm

mkdir -p tree/bin tree/etc images overlay/etc
cp bookworm/bin/busybox tree/bin/
cat >tree/init <<'INIT'
#!/bin/busybox sh
cd /etc
/bin/busybox echo "found:" *
/bin/busybox poweroff -f
INIT
chmod +x tree/init
echo x >tree/etc/own
echo x >overlay/etc/appended
(cd tree && find . | cpio --quiet -o -H newc) | zstd -q >base.img
bash bookworm/usr/bin/dracut-catimages --imagedir "$work/images" --overlaydir "$work/overlay" whole.img base.img

mkdir newer # what dracut 112 unpacks with, and the C library that it needs
cat >newer/extractinitrd <<END
#!/bin/sh
exec $work/sid/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path $work/sid/usr/lib/x86_64-linux-gnu \\
    $work/sid/usr/lib/dracut/extractinitrd "\$@"
END
chmod +x newer/extractinitrd
PATH=$work/bookworm/usr/bin:$PATH # lsinitramfs calls unmkinitramfs
lsinitrd() { (cd "$unpacked" && dracutbasedir=$1 bash "$2/usr/bin/lsinitrd" "$3" "$work/whole.img"); }

is_as_expected=yes
# shows NAME EXPECTED COMMAND...: print which files of etc/ a command names, or puts into the folder $unpacked.
shows() {
    name=$1
    expected=$2
    shift 2
    rm -rf unpacked
    mkdir unpacked
    unpacked=$work/unpacked
    "$@" >out 2>err || { cat out err && exit 1; }
    found=$({ cat out && find unpacked -type f; } | tr -d '\r' | tr ' ' '\n' | sed 's,.*/,,' | grep -Ex 'own|appended' | sort -u |
        paste -s -d ' ')
    echo "$name: $found$(sed 's/^/; it says: /' err)"
    [ "$found" = "$expected" ] && [ ! -s err ] || is_as_expected=no
}
machine() {
    timeout 100 qemu-system-x86_64 -accel tcg -m 256 -nographic -no-reboot -kernel "$work"/bookworm/boot/vmlinuz-* \
        -initrd "$work/whole.img" -append 'console=ttyS0 panic=-1 quiet' </dev/null
}
shows 'the kernel, Linux 6.1.176' 'appended own' machine
shows 'lsinitrd, dracut 059-4' own lsinitrd "$work/bookworm/usr/lib/dracut" "$work/bookworm" --size
shows 'lsinitrd --unpack, dracut 059-4' own lsinitrd "$work/bookworm/usr/lib/dracut" "$work/bookworm" --unpack
shows 'lsinitrd, dracut 112-7' own lsinitrd "$work/newer" "$work/sid" --size
shows 'lsinitrd --unpack, dracut 112-7' own lsinitrd "$work/newer" "$work/sid" --unpack
shows 'lsinitramfs, initramfs-tools 0.142+deb12u3' own lsinitramfs whole.img
shows 'unmkinitramfs, initramfs-tools 0.142+deb12u3' own unmkinitramfs whole.img unpacked/all
[ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
