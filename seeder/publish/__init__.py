"""From a release directory to a signed site, and the publisher's commands."""
