#!/bin/sh
# OpenSSL, TLS alerts: what a server is told when its client does not accept the certificate.
#
# One would expect: an alert that tells a certificate for another name from one that is not valid yet; RFC 8446 has
# certificate_unknown for "some other (unspecified) issue", and bad_certificate is one that "was corrupt".
# What happens: another name and another address are bad_certificate, and so is a certificate that is not valid yet; one
# that has ended is certificate_expired, another authority unknown_ca.
# Whom it hurts: whoever reads a server's log or counts alerts: "bad certificate" is not a broken file but mostly a name
# that the certificate lacks, or a client whose clock is behind.
# Needs dpkg, curl and Debian's mirror or snapshot; asks for 5 MB; listens on 127.0.0.1; takes a few seconds.
set -eu
# shellcheck source=findings/debian-pool
. "$(dirname "$(readlink -f "$0")")/debian-pool"
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
unpack_debian tree 20250815T000000Z o/openssl/openssl_3.0.17-1~deb12u2 o/openssl/libssl3_3.0.17-1~deb12u2
export OPENSSL_CONF="$work/openssl.cnf"
openssl() {
    LD_LIBRARY_PATH="$work/tree/usr/lib/x86_64-linux-gnu" "$work/tree/usr/bin/openssl" "$@"
}
printf '[req]\ndistinguished_name = name\n[name]\n' >openssl.cnf
for name in ours other; do
    openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=$name" -days 100 -keyout $name.key -out $name.pem 2>/dev/null
done
openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr 2>/dev/null
echo 'subjectAltName = DNS:server.example, IP:127.0.0.1' >names
openssl x509 -req -in server.csr -CA ours.pem -CAkey ours.key -CAcreateserial -days 50 -extfile names -out server.pem 2>/dev/null
version=$(openssl version | cut -d ' ' -f 1,2)

touch server.out
LD_LIBRARY_PATH="$work/tree/usr/lib/x86_64-linux-gnu" "$work/tree/usr/bin/openssl" \
    s_server -accept 127.0.0.1:0 -cert server.pem -key server.key -www >server.out 2>server.err &
server=$!
until grep -q ACCEPT server.out; do sleep 0.1; done
port=$(sed -n 's/^ACCEPT 127.0.0.1://p' server.out)

is_as_expected=yes
try() {
    what=$1 wanted=$2
    shift 2
    : >server.err
    openssl s_client -connect "127.0.0.1:$port" -verify_return_error "$@" </dev/null >/dev/null 2>&1 || :
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        alert=$(sed -n 's/.*:\(tls\|ssl\)[v0-9]* alert \([a-z ]*\):.*/\2/p' server.err | head -n 1)
        [ -z "$alert" ] || break
        sleep 0.1
    done
    echo "$version, $what: alert ${alert:-none}"
    [ "${alert:-none}" = "$wanted" ] || is_as_expected=no
}
now=$(date +%s)
try "the right name" none -CAfile ours.pem -verify_hostname server.example
try "another name" "bad certificate" -CAfile ours.pem -verify_hostname other.example
try "another address" "bad certificate" -CAfile ours.pem -verify_ip 127.0.0.2
try "not valid yet" "bad certificate" -CAfile ours.pem -attime $((now - 90000))
try "ended" "certificate expired" -CAfile ours.pem -attime $((now + 60 * 86400))
try "another authority" "unknown ca" -CAfile other.pem
[ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
