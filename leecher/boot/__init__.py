"""One boot from settings to verified images, and on as a neighbour."""
