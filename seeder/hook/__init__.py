"""The initramfs hook's making: the runtime image, the files that go into an initramfs, and building one."""
