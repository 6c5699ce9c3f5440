"""Debian Live's images as others build and boot them, made into release directories."""
