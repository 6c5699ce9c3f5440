"""What is found out of an image for its manifest: where chunks end, what a boot reads, what it takes unpacked."""
