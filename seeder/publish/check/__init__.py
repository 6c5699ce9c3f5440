"""What `publish` looks at before it signs: facts of a release's images in, findings out.

`images`, `initramfs` and `kernel` read facts and judge nothing; `root`, `plugins`, `stage0` and `names` judge and read
nothing; `look` brings them together. Nothing here needs root, extracts an image or writes a file.
"""
