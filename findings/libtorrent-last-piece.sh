#!/bin/sh
# libtorrent, add_piece: the last piece of a BitTorrent v2 file that ends within a piece.
#
# One would expect: a piece that is handed in has the size that piece_size() names, in every 2.0.x, and one of another
# size is refused with an error or an alert.
# What happens: piece_size() names the full length in all of them. 2.0.11 (and 2.0.8 of Debian 12) takes only the piece
# filled up to that length; 2.0.13, 2.0.14, 2.0.15 and 2.1.1 take only the piece as long as the file has it. The other
# form is dropped without exception, alert or log line, so a download of such a file never ends.
# Whom it hurts: whoever feeds pieces from elsewhere (web origins, a cache) and moves between distributions: Debian 13
# has 2.0.11, sid 2.0.13 and later.
# Needs Python 3.11 with pip and a package index; asks for 60 MB; takes half a minute.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/try.py" <<'PYTHON'
import os, sys, tempfile, time
import libtorrent as lt

PIECE, SIZE = 65536, 100_000
folder = tempfile.mkdtemp(dir=sys.argv[1])
data = os.urandom(SIZE)
with open(os.path.join(folder, "file"), "wb") as file:
    file.write(data)
storage = lt.file_storage()
lt.add_files(storage, os.path.join(folder, "file"))
maker = lt.create_torrent(storage, piece_size=PIECE, flags=lt.create_torrent.v2_only)
lt.set_piece_hashes(maker, folder)
info = lt.torrent_info(lt.bdecode(lt.bencode(maker.generate())))


def takes(last):
    quiet = {"enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False}
    session = lt.session({"listen_interfaces": "127.0.0.1:0", "alert_mask": lt.alert.category_t.all_categories, **quiet})
    parameters = lt.add_torrent_params()
    parameters.ti, parameters.save_path = lt.torrent_info(info), tempfile.mkdtemp(dir=sys.argv[1])
    parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(parameters)
    while handle.status().state != lt.torrent_status.downloading:
        time.sleep(0.02)
    session.pop_alerts()
    handle.add_piece(1, last, 0)
    said, until = set(), time.monotonic() + 2
    while time.monotonic() < until:
        said |= {type(alert).__name__ for alert in session.pop_alerts()}
        time.sleep(0.05)
    said &= {"piece_finished_alert", "hash_failed_alert", "file_error_alert", "torrent_error_alert"}
    return "taken" if said == {"piece_finished_alert"} else ", ".join(sorted(said)) or "dropped in silence"


exact, filled = takes(data[PIECE:]), takes(data[PIECE:] + bytes(2 * PIECE - SIZE))
print(f"{lt.__version__}: piece_size {info.piece_size(1)}; as long as the file: {exact}; filled up: {filled}")
PYTHON

is_as_expected=yes
try() {
    python3 -m pip install --quiet --quiet --disable-pip-version-check --no-deps --root-user-action=ignore \
        --target "$work/$1" "libtorrent==$1"
    said=$(PYTHONPATH="$work/$1" python3 -W ignore "$work/try.py" "$work")
    echo "$said"
    case $said in "$1"*"$2") ;; *) is_as_expected=no ;; esac
}

old='piece_size 65536; as long as the file: dropped in silence; filled up: taken'
new='piece_size 65536; as long as the file: taken; filled up: dropped in silence'
try 2.0.11 "$old"
try 2.0.13 "$new"
try 2.0.15 "$new"
try 2.1.1 "$new"
[ $is_as_expected = yes ] || { echo 'the behaviour has changed'; exit 1; }
