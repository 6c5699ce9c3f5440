"""Stage 0 for bare machines: DHCP, TFTP and boot scripts, and what is known of each machine."""
