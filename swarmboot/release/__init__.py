"""What is signed and where it lies: manifest, keys and trust, pieces and hashes, a site's layout."""
