"""What nodes say before, beside and after a boot: syslog and netconsole, kept per boot, and handed on."""
