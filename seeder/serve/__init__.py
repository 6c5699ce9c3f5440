"""The running seeder: announces, files, status, secrets, and the systemd service around it."""
