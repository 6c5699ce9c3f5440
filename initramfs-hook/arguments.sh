#!/bin/sh
# The kernel command line and the settings that the shell half reads itself: sourced by driver.sh. POSIX sh.
# shellcheck disable=SC2154 # what is not set here, driver.sh sets

swarmboot_newline='
'
swarmboot_space=$(printf ' \t\v\f\r')$swarmboot_newline

# Take up the kernel command line for swarmboot_next_argument; the last line end is /proc's.
swarmboot_read_arguments() {
    swarmboot_left=
    swarmboot_gap=
    while IFS= read -r swarmboot_line || [ -n "$swarmboot_line" ]; do
        swarmboot_left=$swarmboot_left$swarmboot_gap$swarmboot_line
        swarmboot_gap=$swarmboot_newline
    done <"$swarmboot_cmdline"
}

# Put the next argument into swarmboot_name and swarmboot_value, which is `on` if it has none (then swarmboot_word is the
# name alone). Fails at the end, or at `--`. As the kernel takes it apart: swarmboot/text/arguments.py, with the same tests.
swarmboot_next_argument() {
    # shellcheck disable=SC2295 # within brackets it is a list of characters
    swarmboot_left=${swarmboot_left#"${swarmboot_left%%[!$swarmboot_space]*}"}
    [ -n "$swarmboot_left" ] || return 1
    swarmboot_word=
    while :; do
        # shellcheck disable=SC2295
        swarmboot_part=${swarmboot_left%%[$swarmboot_space\"]*}
        swarmboot_word=$swarmboot_word$swarmboot_part
        swarmboot_left=${swarmboot_left#"$swarmboot_part"}
        case $swarmboot_left in
            \"*\"*)
                swarmboot_part=${swarmboot_left#\"}
                swarmboot_part=\"${swarmboot_part%%\"*}\"
                ;;
            \"*) swarmboot_part=$swarmboot_left ;;
            *) break ;;
        esac
        swarmboot_word=$swarmboot_word$swarmboot_part
        swarmboot_left=${swarmboot_left#"$swarmboot_part"}
    done
    swarmboot_quoted=no
    case $swarmboot_word in \"*) swarmboot_quoted=yes ;; esac
    swarmboot_word=${swarmboot_word#\"}
    swarmboot_value=${swarmboot_word#?} # an argument that begins with = has no name there
    swarmboot_name=${swarmboot_word%"$swarmboot_value"}${swarmboot_value%%=*}
    case $swarmboot_value in
        *=*)
            swarmboot_value=${swarmboot_value#*=}
            case $swarmboot_value in \"*) swarmboot_quoted=yes ;; esac
            swarmboot_value=${swarmboot_value#\"}
            [ $swarmboot_quoted = no ] || swarmboot_value=${swarmboot_value%\"}
            ;;
        *)
            [ $swarmboot_quoted = no ] || swarmboot_name=${swarmboot_name%\"}
            swarmboot_word=$swarmboot_name
            swarmboot_value=on
            [ "$swarmboot_name" != -- ]
            ;;
    esac
}

# Print the value of the setting $1: the last kernel argument swarmboot.NAME, else what stands in the node's own file,
# else what was baked in.
swarmboot_argument() {
    swarmboot_found=
    for swarmboot_file in "$swarmboot_config/defaults" "$swarmboot_config/node"; do
        [ -r "$swarmboot_file" ] || continue
        while read -r swarmboot_line || [ -n "$swarmboot_line" ]; do
            case $swarmboot_line in "$1="*) swarmboot_found=${swarmboot_line#*=} ;; esac
        done <"$swarmboot_file"
    done
    swarmboot_read_arguments
    while swarmboot_next_argument; do
        [ "$swarmboot_name" != "swarmboot.$1" ] || swarmboot_found=$swarmboot_value
    done
    printf '%s\n' "$swarmboot_found"
}

# Succeed if the kernel command line asks for swarmboot. swarmboot=0 wins over everything; a misspelt argument counts,
# so that the leecher can name it.
swarmboot_is_enabled() {
    swarmboot_wanted=no
    swarmboot_read_arguments
    while swarmboot_next_argument; do
        case $swarmboot_name=$swarmboot_value in
            swarmboot=0 | swarmboot=off | swarmboot=no) swarmboot_wanted=never ;;
            swarmboot=* | swarmboot.* | swarmboot_* | root=swarmboot | boot=swarmboot)
                [ $swarmboot_wanted = never ] || swarmboot_wanted=yes
                ;;
        esac
    done
    [ $swarmboot_wanted = yes ]
}
