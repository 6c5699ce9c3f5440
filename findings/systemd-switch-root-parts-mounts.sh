#!/bin/sh
# systemd: what a program that outlives the initramfs still finds below its folder in /run after the switch of roots.
#
# One would expect: all of it. systemd spares programs whose name begins with @ (systemd.io/ROOT_STORAGE_DAEMONS), so that
# a root can stand on them, /run goes on with everything mounted in it, and what is mounted at /run/x/root/games can be
# seen from the booted system as before.
# What happens: 252 moves /run (MS_MOVE), and so it is. 257 binds it anew (MS_BIND|MS_REC) and lets go of the old tree
# (MNT_DETACH), which parts each mount in it from those below. The booted system has all of them, but a program whose root
# or working folder is in a mount of the old tree finds that mount's own files and nothing that was mounted below it: bound
# libraries, /proc, a tmpfs with its data.
# Whom it hurts: storage daemons that run in a chroot of their own below /run. A mount namespace of their own, made
# private before the switch, helps.
# Needs root, debootstrap, unshare, cgroups and Debian's mirror; systemd is PID 1 of a PID namespace; takes some minutes.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
cd "$work"
# shellcheck disable=SC2016 # apt's own names
mirror=$(apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' | awk '$1 == "Debian" {print $2; exit}')

cat >probe.sh <<'PROBE'
mkdir -p /run/x
mount -t tmpfs none /run/x
mkdir /run/x/root /run/x/below
mount --bind /usr /run/x/root
echo here >/run/x/below/file
mount --bind /run/x/below /run/x/root/games
cd /run/x/root
(exec -a @daemon bash /probe/daemon.sh >>/probe/seen) &
mount --bind / /sysroot
mount --bind /probe /sysroot/probe
systemctl --no-block switch-root /sysroot /probe/after.sh
PROBE
cat >daemon.sh <<'DAEMON'
while :; do
    [ -e games/file ] && found=yes || found=no
    [ -e /probe/switched ] && echo "daemon $found" && break
    sleep 0.2
done
DAEMON
cat >after.sh <<'AFTER'
#!/bin/bash
touch /probe/switched
[ -e /run/x/root/games/file ] && echo 'booted yes' >>/probe/seen || echo 'booted no' >>/probe/seen
sleep 3
AFTER
cat >probe.service <<'UNIT'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
KillMode=process
ExecStart=/bin/bash -eu /probe/probe.sh
UNIT
cat >probe.target <<'UNIT'
[Unit]
Requires=probe.service
After=probe.service
DefaultDependencies=no
UNIT
cat >inside.sh <<'INSIDE'
set -eu
cd "$1"
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none run
mount -t tmpfs -o mode=755 none dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/urandom c 1 9
pivot_root . old
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin \
    /usr/lib/systemd/systemd --unit=probe.target --log-target=null --show-status=no </dev/null
INSIDE

# try SUITE VERSION EXPECTED
try() {
    debootstrap --variant=minbase --include=systemd "$1" "$work/$1" "$mirror" >log 2>&1 || { tail -3 log && exit 1; }
    mkdir "$1/sysroot" "$1/old" "$1/probe"
    : >"$1/etc/initrd-release"
    chmod +x after.sh
    cp probe.sh daemon.sh after.sh "$1/probe/"
    cp probe.service probe.target "$1/etc/systemd/system/"
    timeout 60 unshare --mount --propagation private --pid --net --uts --ipc --cgroup --fork --kill-child -- \
        sh inside.sh "$work/$1" || :
    # shellcheck disable=SC2016 # dpkg's own name
    version=$(chroot "$1" dpkg-query -W -f '${Version}' systemd)
    seen=$(sort "$1/probe/seen" | paste -s -d ' ')
    echo "systemd $version, found below the folder after the switch of roots: $seen"
    case $version in "$2".*) ;; *) echo "wanted $2" && exit 1 ;; esac
    [ "$seen" = "booted yes daemon $3" ] || { echo 'the behaviour has changed'; exit 1; }
}
try bookworm 252 yes
try trixie 257 no
