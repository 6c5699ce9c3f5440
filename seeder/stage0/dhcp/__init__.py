"""What machines are told over DHCP, and by whom."""
