"""Plugins from start to end: made by a recipe over a release's root image, taken over from elsewhere, looked into."""
