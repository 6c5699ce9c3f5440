"""Which modules and which firmware a lean initramfs keeps."""

from __future__ import annotations

import pytest

from seeder.initramfs.choice import (
    FOR_A_CACHE,
    Needs,
    also_kept,
    cards_named,
    chosen,
    firmware_asked,
    firmware_asked_by_builtin,
    has_cache,
    is_card,
    is_spare_file,
    parse_needs,
    storage_types,
    why_out,
)
from seeder.initramfs.groups import firmware_of, group_of, kernel_of, module_of, name_of
from swarmboot.errors import MalformedSettingError

NET = "kernel/drivers/net"
NOTHING = Needs({}, {}, {})
VIRTIO, E1000E, IGB = f"{NET}/virtio_net", f"{NET}/ethernet/intel/e1000e/e1000e", f"{NET}/ethernet/intel/igb/igb"
ALIASES = """# Aliases extracted from modules themselves.
alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e
alias pci:v00008086d00001521sv*sd*bc*sc*i* igb
alias crc32c crc32c_generic
alias crypto-crc32c crc32c_generic
"""


@pytest.mark.parametrize(
    "module",
    ["kernel/drivers/ata/ahci", "kernel/drivers/block/virtio_blk", "kernel/fs/ext4/ext4",
     "kernel/drivers/md/raid/raid1",
     "kernel/drivers/usb/storage/usb-storage", "kernel/drivers/gpu/drm/drm", "kernel/net/sunrpc/sunrpc",
     "kernel/arch/x86/crypto/aesni-intel", "kernel/drivers/hid/hid-steam", "kernel/drivers/net/wireless/ath/ath"],
)  # fmt: skip
def test_what_is_for_disks_and_screens_is_out(module: str) -> None:
    assert why_out(module)
    assert chosen({module, VIRTIO}, NOTHING) == {VIRTIO}


@pytest.mark.parametrize(
    "module",
    [VIRTIO, E1000E, f"{NET}/phy/realtek", f"{NET}/mdio/mdio-bcm-unimac", "kernel/drivers/block/loop",
     "kernel/fs/squashfs/squashfs", "kernel/fs/overlayfs/overlay", "kernel/fs/fuse/fuse",
     "kernel/drivers/virtio/virtio_pci", "kernel/drivers/pci/controller/pcie-brcmstb",
     "kernel/drivers/clk/clk-raspberrypi", "kernel/drivers/hid/usbhid/usbhid",
     "kernel/drivers/usb/host/xhci-pci", "kernel/drivers/input/keyboard/atkbd", "updates/dkms/r8168", "extra/zfs"],
)  # fmt: skip
def test_what_a_card_may_stand_behind_and_what_the_hook_mounts_is_in(module: str) -> None:
    assert chosen({module, "kernel/fs/ext4/ext4"}, NOTHING) == {module}


def test_what_a_module_needs_stays_wherever_it_lies() -> None:
    dep = f"{E1000E}.ko.xz: kernel/drivers/block/odd.ko.xz\nkernel/drivers/block/odd.ko.xz: kernel/fs/nls/nls_x.ko.xz\n"
    soft = "softdep e1000e pre: crc32c post: ptp-x\nweakdep e1000e later\n"
    modules = {E1000E, "kernel/drivers/block/odd", "kernel/fs/nls/nls_x", "kernel/crypto/crc32c_generic",
               "kernel/crypto/ptp_x", "kernel/crypto/later", "kernel/crypto/aes"}  # fmt: skip
    assert chosen(modules, parse_needs(dep, soft, ALIASES)) == modules - {"kernel/crypto/aes"}


def test_a_list_of_cards_leaves_the_other_cards_out_and_what_they_share_in() -> None:
    modules = {VIRTIO, E1000E, IGB, f"{NET}/phy/realtek", "kernel/drivers/ptp/ptp"}
    text = "# what the racks have\nvirtio-net\npci:v00008086d00001521sv00008086sd00000001bc02sc00i00   # two ports\n"
    cards = cards_named(text, ALIASES, modules, label="cards")
    assert cards == {"virtio_net", "igb"}
    assert chosen(modules, NOTHING, cards=cards) == modules - {E1000E}


def test_a_card_keeps_the_half_of_its_driver_that_no_device_asks_for() -> None:
    mellanox = f"{NET}/ethernet/mellanox"
    core, half = f"{mellanox}/mlx4/mlx4_core", f"{mellanox}/mlx4/mlx4_en"
    modules = {core, half, f"{mellanox}/mlx5/core/mlx5_core", E1000E}
    alias = "alias pci:v000015B3d00001003sv*sd*bc*sc*i* mlx4_core\n"
    alias += "alias pci:v000015B3d00001013sv*sd*bc*sc*i* mlx5_core\nalias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\n"
    for made_by_driver in ("", "alias auxiliary:mlx4_core.eth mlx4_en\n"):
        needs = parse_needs(f"{half}.ko: {core}.ko\n", "", alias + made_by_driver)
        text = "pci:v000015B3d00001003sv000015B3sd00000055bc02sc00i00\n"
        assert chosen(modules, needs, cards=cards_named(text, alias, modules, label="cards")) == {core, half}
        assert chosen(modules, needs, cards={"e1000e"}) == {E1000E}


def test_a_card_keeps_the_bus_by_which_it_reaches_its_phy() -> None:
    card, bus, other = (f"{NET}/ethernet/marvell/{name}" for name in ("mvneta", "mvmdio", "mvpp2/mvpp2"))
    alias = "alias of:N*T*Cmarvell,armada-370-neta mvneta\nalias of:N*T*Cmarvell,orion-mdio mvmdio\n"
    alias += "alias of:N*T*Cmarvell,armada-7k-pp22 mvpp2\n"
    cards = cards_named("of:NethernetT(null)Cmarvell,armada-370-neta", alias, {card, bus, other}, label="cards")
    assert chosen({card, bus, other}, parse_needs("", "", alias), cards=cards) == {card, bus}


@pytest.mark.parametrize(
    "module",
    [f"{NET}/wireless/intel/iwlwifi/iwlwifi", f"{NET}/mii", "kernel/drivers/block/loop", f"{NET}/phy/realtek",
     f"{NET}/bonding/bonding", f"{NET}/ethernet/marvell/mvmdio"],
)  # fmt: skip
def test_a_line_that_names_a_module_of_something_else_is_refused(module: str) -> None:
    name = name_of(module)
    words = rf"cards, line 2: no driver of a network card here is '{name}'.*built into the kernel needs no line"
    with pytest.raises(MalformedSettingError, match=words):
        cards_named(f"e1000e\n{name}\n", ALIASES, {E1000E, module}, label="cards")


def test_a_name_stands_for_all_the_drivers_that_its_devices_ask_for() -> None:
    modules = {f"{NET}/ethernet/hisilicon/hns3/{name}" for name in ("hns3", "hclge", "hclgevf")}
    alias = "alias pci:v000019E5d0000A220sv*sd*bc*sc*i* hclge\nalias pci:v000019E5d0000A22Fsv*sd*bc*sc*i* hclgevf\n"
    alias += "alias pci:v000019E5d0000A220sv*sd*bc*sc*i* hns3\n"
    assert cards_named("hns3", alias, modules, label="cards") == {"hns3", "hclge"}


def test_a_list_may_name_what_somebody_has_built_and_switches() -> None:
    modules = {"updates/dkms/r8168", f"{NET}/dsa/mv88e6xxx/mv88e6xxx"}
    assert cards_named("r8168\nmv88e6xxx\n", "", modules, label="cards") == {"r8168", "mv88e6xxx"}


@pytest.mark.parametrize(
    ("text", "words"),
    [("e1000e\ne1000f\n", "cards, line 2: no driver of a network card here is 'e1000f'"),
     ("pci:v00001111d00002222sv0sd0bc02sc00i00\n", "cards, line 1: no driver of a network card here"),
     ("# none\n", "cards names no card")],
)  # fmt: skip
def test_a_line_that_names_no_card_is_refused_with_its_number(text: str, words: str) -> None:
    with pytest.raises(MalformedSettingError, match=words):
        cards_named(text, ALIASES, {E1000E, IGB}, label="cards")


def test_drivers_of_disks_stay_where_nodes_keep_a_cache_on_one_with_what_they_need() -> None:
    disks = {"kernel/drivers/scsi/sd_mod", "kernel/drivers/scsi/scsi_mod", "kernel/fs/ext4/ext4"}
    modules = {*disks, "kernel/drivers/scsi/mpt3sas/mpt3sas", "kernel/fs/xfs/xfs"}
    needs = parse_needs("kernel/drivers/scsi/sd_mod.ko: kernel/drivers/scsi/scsi_mod.ko\n", "", "")
    assert chosen(modules, needs) == set()
    assert chosen(modules, needs, also=FOR_A_CACHE) == disks


@pytest.mark.parametrize(
    ("defaults", "is_there"),
    [
        ("server=https://a\ncache=LABEL=swarmboot\n", True),
        ("cache=UUID=0123-4567", True),
        ("cache=/dev/vdb1\n", True),
        ("cache=off\n", False),
        ("fleet=cache=LABEL=x\n", False),
        ("", False),
    ],
)
def test_a_cache_is_baked_in_where_a_line_says_so(defaults: str, is_there: bool) -> None:
    assert has_cache(defaults) is is_there


def test_udevs_database_and_its_programs_for_disks_are_out() -> None:
    names = ("usr/lib/udev/hwdb.bin", "usr/lib/udev/scsi_id", "usr/lib/udev/rules.d/60-block.rules", "usr/bin/udevadm")
    assert [is_spare_file(name) for name in names] == [True, True, False, False]


def test_cards_are_told_from_what_they_share() -> None:
    assert [is_card(each) for each in (VIRTIO, E1000E, f"{NET}/usb/r8152", f"{NET}/vmxnet3/vmxnet3")] == [True] * 4
    assert [is_card(each) for each in (f"{NET}/phy/realtek", f"{NET}/mii", f"{NET}/bonding/bonding")] == [False] * 3


def test_the_firmware_that_a_driver_names_is_read_from_it() -> None:
    module = b"\x7fELF\0firmware=bnx2/a.fw\0firmware=bnx2/b.fw\0parm=firmware:what it is\0description=x\0"
    assert firmware_asked(module) == ("bnx2/a.fw", "bnx2/b.fw")
    assert firmware_asked_by_builtin(b"r8169.firmware=rtl_nic/x.fw\0r8169.license=GPL\0") == ("rtl_nic/x.fw",)


def test_names_of_modules_and_firmware_are_as_the_kernel_has_them() -> None:
    assert module_of("lib/modules/6.1.0/kernel/fs/x.ko.zst") == "kernel/fs/x"
    assert kernel_of("usr/lib/modules/6.1.0/updates/x.ko") == "6.1.0"
    assert module_of("usr/lib/modules/6.1.0/modules.dep") == ""
    for name in (
        "lib/firmware/a/b.fw",
        "usr/lib/firmware/updates/6.1.0/a/b.fw.xz",
        "usr/lib/firmware/6.1.0/a/b.fw.zst",
    ):
        assert firmware_of(name, "6.1.0") == "a/b.fw"


@pytest.mark.parametrize(
    ("name", "group"),
    [("usr/lib/modules/6/kernel/drivers/net/ethernet/x.ko", "drivers of network cards"),
     ("usr/lib/modules/6/kernel/fs/x.ko", "file systems"), ("usr/lib/modules/6/modules.dep.bin", "lists of modules"),
     ("kernel/x86/microcode/AuthenticAMD.bin", "microcode"), ("usr/lib/x86_64-linux-gnu/libc.so.6", "libraries"),
     ("usr/lib/swarmboot/runtime.squashfs", "swarmboot's runtime"),
     ("usr/lib/udev/hwdb.bin", "the hardware database"),
     ("usr/lib/systemd/systemd-udevd", "systemd and udev"), ("usr/bin/busybox", "other programs"),
     ("usr/bin/systemctl", "systemd and udev"), ("usr/lib/x86_64-linux-gnu/libsystemd.so.0", "libraries"),
     ("usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so", "systemd and udev"),
     ("init", "the rest")],
)  # fmt: skip
def test_every_file_belongs_to_a_group(name: str, group: str) -> None:
    assert group_of(name) == group


def test_drivers_stay_for_the_storage_that_is_baked_in_and_for_no_other() -> None:
    assert also_kept("server=x\n") == frozenset()
    assert {"nfs", "nfsv4"} == also_kept("storage=nfs4\n")
    assert {"xfs", "nvme", "nfsv3"} < also_kept("storage=xfs,nfs\n")
    assert "ext4" not in also_kept("storage=xfs\n")
    assert {"ext4", "nfsv4"} < also_kept("cache=LABEL=swarmboot\nstorage=nfs4\n")
    assert storage_types("storage=off\n") == ()


@pytest.mark.parametrize(
    ("defaults", "is_kept"),
    [("zram=50%", True), ("x=1\nzram=on\n", True), ("zram=off", False), ("rack=zram=50%", False), ("", False)],
)
def test_zram_and_what_it_compresses_with_stay_only_where_they_are_baked_in(defaults: str, is_kept: bool) -> None:
    zram, zsmalloc = "kernel/drivers/block/zram/zram", "kernel/mm/zsmalloc"
    zstd, packer = "kernel/crypto/zstd", "kernel/lib/zstd/zstd_compress"
    needs = Needs({zram: (zsmalloc,), zstd: (packer,)}, {}, {})
    found = chosen({zram, zsmalloc, zstd, packer, "kernel/crypto/842", VIRTIO}, needs, also=also_kept(defaults))
    assert {zram, zstd, packer} & found == ({zram, zstd, packer} if is_kept else set())
    assert "kernel/crypto/842" not in found
