"""The live page: files for a browser, and who may have what they ask for."""
