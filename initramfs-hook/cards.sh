#!/bin/sh
# Which network card BOOTIF= names: sourced by the adapters after driver.sh. POSIX sh; needs tr.

swarmboot_cards_folder=${swarmboot_cards_folder:-/sys/class/net}

# Print the MAC address in a value of BOOTIF=, which may begin with the kind of hardware: 01-52-54-00-12-34-56.
swarmboot_bootif() {
    swarmboot_found=$(echo "$1" | tr A-F- a-f:)
    case $swarmboot_found in ??:??:??:??:??:??:??) swarmboot_found=${swarmboot_found#*:} ;; esac
    echo "$swarmboot_found"
}

# Print every card and its MAC address, a line each.
swarmboot_list_cards() {
    for swarmboot_card in "$swarmboot_cards_folder"/*; do
        swarmboot_name=${swarmboot_card##*/}
        [ "$swarmboot_name" != lo ] && [ -r "$swarmboot_card/address" ] || continue
        read -r swarmboot_address <"$swarmboot_card/address" && echo "$swarmboot_name $swarmboot_address"
    done
}

# Succeed if a card has the MAC address $1.
swarmboot_has_card() {
    swarmboot_list_cards | while read -r _ swarmboot_address; do
        [ "$swarmboot_address" != "$1" ] || echo found
    done | read -r _
}

# Say that no card has BOOTIF's MAC address $1, and which there are.
swarmboot_say_no_card() {
    swarmboot_found=$(swarmboot_list_cards | while read -r swarmboot_card; do printf ', %s' "$swarmboot_card"; done)
    swarmboot_found=${swarmboot_found#, }
    swarmboot_say "no card has BOOTIF's $1; found ${swarmboot_found:-none}; taking all cards"
}
