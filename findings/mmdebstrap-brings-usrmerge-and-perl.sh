#!/bin/sh
# mmdebstrap: a minimal bookworm has the package that merges /usr, and all of Perl with it.
#
# One would expect: mmdebstrap and debootstrap make the same minimal bookworm, as both take what the packages depend on.
# What happens: debootstrap makes /usr merged itself and takes usr-is-merged. mmdebstrap leaves it to the packages:
# init-system-helpers depends on `usrmerge | usr-is-merged`, apt takes the first, and usrmerge brings perl, its modules
# and what these need: 40 packages, 75 MB installed, that nothing needs once /usr is merged.
# Whom it hurts: who makes a root image for many nodes that way; each loads them and keeps them in memory. Its hook
# maybe-merged-usr (--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr) does it as debootstrap does.
# Needs apt's Debian mirror, and root, as apt's sandbox does; takes some twenty seconds.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root --quiet=2 download debootstrap=1.0.128+nmu2+deb12u2 mmdebstrap=1.3.5-7
for package in *.deb; do dpkg -x "$package" .; done
# shellcheck disable=SC2016 # apt's own names
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" {print $2; exit}')

DEBOOTSTRAP_DIR=$work/usr/share/debootstrap sh usr/sbin/debootstrap --print-debs --variant=minbase \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg bookworm "$work/one" "$mirror" 2>log |
    tr ' ' '\n' | grep . | sort >debootstrap.list
perl usr/bin/mmdebstrap --verbose --mode=root --variant=minbase --dry-run --aptopt='APT::Install-Recommends "false"' \
    bookworm "$work/other" "$mirror" >log 2>&1 || { cat log && exit 1; }
awk '/^Inst / {print $2}' log | sort >mmdebstrap.list
[ -s debootstrap.list ] && [ -s mmdebstrap.list ] || { cat log && exit 1; }

comm -13 debootstrap.list mmdebstrap.list >more.list
# shellcheck disable=SC2046 # a list of words
size_mb=$(apt-cache --no-all-versions show $(cat more.list) | awk '/^Installed-Size:/ {sum += $2} END {printf "%d", sum * 1024 / 1e6}')

named() { grep -cx "$1" "$2.list" || :; }
for program in debootstrap mmdebstrap; do
    echo "$program, minbase of bookworm: $(wc -l <"$program.list") packages; perl $(named perl "$program")," \
        "usrmerge $(named usrmerge "$program"), usr-is-merged $(named usr-is-merged "$program")"
done
echo "what mmdebstrap has more: $(wc -l <more.list) packages, $size_mb MB installed"
[ "$(named perl debootstrap) $(named usrmerge debootstrap) $(named usr-is-merged debootstrap)" = "0 0 1" ] &&
    [ "$(named perl mmdebstrap) $(named usrmerge mmdebstrap) $(named usr-is-merged mmdebstrap)" = "1 1 0" ] ||
    { echo 'the behaviour has changed'; exit 1; }
