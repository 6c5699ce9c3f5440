#!/bin/sh
# mksquashfs -sort: files of one priority, and a line that names a symbolic link.
#
# One would expect: files of one priority lie in the order of their lines, or of their names; and a line for a link, as
# strace and ldd name libraries, moves the file that it leads to, or is refused.
# What happens: files of one priority lie the last first (sort.c: each goes before the list of its priority), whatever the
# order of the lines. A line that names a link is taken, with status 0 and without a word, and moves nothing: links have no
# data, and the priority is the link's own inode's.
# Whom it hurts: live systems and images that are to be read in order, from a list of what a boot opened.
# Needs apt; neither root nor mounts.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root --quiet=2 download squashfs-tools=1:4.5.1-1
dpkg -x squashfs-tools_*.deb tools

mkdir tree
for name in a b c d library.so.1.2; do echo "<$name>" >"tree/$name"; done
ln -s library.so.1.2 tree/library.so.1
# order LINES: print in which order the files lie in the image
order() {
    printf '%b' "$1" >lines
    tools/usr/bin/mksquashfs tree image -sort lines -noI -noD -noF -noappend -no-progress -quiet >said 2>&1
    [ ! -s said ]
    grep --text --only-matching '<[^>]*>' image | tr -d '<>\n'
    rm image
}
equals=$(order 'a 7\nb 7\nc 7\nd 7\nlibrary.so.1.2 7\n')
turned=$(order 'library.so.1.2 7\nd 7\nc 7\nb 7\na 7\n')
linked=$(order 'a 1\nb 2\nc 3\nd 4\nlibrary.so.1 5\n')
named=$(order 'a 1\nb 2\nc 3\nd 4\nlibrary.so.1.2 5\n')
echo "mksquashfs 4.5.1: of one priority lie $equals, by lines the other way round $turned; by a link's line $linked, by its file's $named"
[ "$equals" = library.so.1.2dcba ] && [ "$turned" = "$equals" ] && [ "$linked" = dcbalibrary.so.1.2 ] &&
    [ "$named" = library.so.1.2dcba ] || { echo 'the behaviour has changed'; exit 1; }
