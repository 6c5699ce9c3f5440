#!/bin/sh
# debootstrap: a package that depends on what another package only provides.
#
# One would expect: --include=python3-cryptography brings all that it depends on, as apt does.
# What happens: debootstrap reads Depends and not Provides. python3-cryptography of Debian 13 depends on the virtual
# python3-cffi-backend-api-min, which python3-cffi-backend provides; that is not in the list. --print-debs ends with 0 and
# a list that cannot be configured; a real run unpacks and configures everything else (half an hour for another machine
# type, under emulation), tries the last package five times, fails, and the tree is not finished.
# Whom it hurts: everybody who makes a chroot with more than essential packages in one command. mmdebstrap, which uses
# apt, is not hurt; naming python3-cffi-backend as well helps.
# Needs apt's Debian mirror; takes some ten seconds.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root --quiet=2 download debootstrap=1.0.128+nmu2+deb12u2
dpkg -x debootstrap_*.deb .
# shellcheck disable=SC2016 # apt's own names
mirror=$(apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' | awk '$1 == "Debian" {print $2; exit}')

DEBOOTSTRAP_DIR=$work/usr/share/debootstrap sh usr/sbin/debootstrap --print-debs --variant=minbase \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --include=python3-cryptography trixie "$work/tree" "$mirror" \
    >list 2>log || { cat log && exit 1; }
named() { tr ' ' '\n' <list | grep -cx "$1" || :; }
echo "debootstrap 1.0.128, trixie: python3-cryptography $(named python3-cryptography)," \
    "python3-cffi-backend, which it needs, $(named python3-cffi-backend)"
[ "$(named python3-cryptography)" = 1 ] && [ "$(named python3-cffi-backend)" = 0 ] ||
    { echo 'the behaviour has changed'; exit 1; }
