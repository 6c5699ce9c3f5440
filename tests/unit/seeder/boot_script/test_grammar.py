"""Whatever is put into a boot script, it stays the script that we wrote: the same lines, commands and variables.

Read here as iPXE (src/core/exec.c, src/image/script.c) and GRUB (manual, section 6.1) read scripts.
"""

from __future__ import annotations

import ast
import re
import shlex
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seeder.boot_script import grammar, grub, ipxe
from seeder.boot_script.grammar import CommandLine, Line, LoadOptions, Mac, Said, Source, Token, Url
from seeder.boot_script.grub import GRUB
from seeder.boot_script.ipxe import IPXE
from seeder.boot_script.kernel_cmdline import OWN_MAX, check_carried, node_cmdline
from seeder.boot_script.load import Load, Stage0, Stage0Trust, stage0_of
from swarmboot.errors import ReleaseError
from swarmboot.release.manifest import UNIFIED, Profile, Role
from tests.support.builders import build_artifact, build_manifest

EVIL = (
    "a\nshell",
    "a\r\nshell",
    "a || shell",
    "a && shell",
    "a ; shell",
    "${net0/mac}",
    "$mac",
    "'; halt; '",
    '"; halt; "',
    "#",
    "a\\",
    "a\\\nb",
    "`halt`",
    "$(halt)",
    "a' b",
    "{ halt; }",
    "\x1b[2J",
    "a\u2028b",
    "<url>",
    "<again>",
    "a\x00b",
    "é",
    "||",
    "&&",
    ";",
    "-n",
    "--",
    "'",
    '"',
    "\\'",
    "?*[a]",
)
TEXTS = st.sampled_from(EVIL) | st.text(max_size=40) | st.lists(st.sampled_from(EVIL), max_size=4).map(" ".join)


def build_stage0(name: str, *, is_unified: bool = False) -> Stage0:
    images = [build_artifact("boot.efi", role=Role.KERNEL, format=UNIFIED)]
    if not is_unified:
        images = [
            build_artifact("vmlinuz", role=Role.KERNEL, format="linux"),
            build_artifact("initramfs.img", role=Role.INITRAMFS, format="cpio"),
        ]
    stage0 = stage0_of(build_manifest(name=name, artifacts=(*images, build_artifact())))
    assert stage0 is not None
    return stage0


def build_load(cmdline: CommandLine, trust: Stage0Trust, *neighbours: Source) -> Load:
    return Load(
        mac=Mac("52:54:00:12:34:56"),
        origin=Source("10.0.0.1", 80),
        cmdline=cmdline,
        neighbours=neighbours,
        trust=trust,
        has_node_image=True,
    )


def ipxe_commands(text: str) -> list[tuple[str, ...]]:
    """Return the names of the commands of each line, with the operators between them, as iPXE finds them."""
    commands = []
    for line in text.split("\n"):
        assert not line.endswith(("\\", "\r"))
        names, is_first = [], True
        for token in line.split():
            if token.startswith("#"):
                names.append(token)
                break
            if token in ("||", "&&", ";"):
                names.append(token)
                is_first = True
            elif is_first:
                names.append(token)
                is_first = False
        commands.append(tuple(names))
    return commands


def grub_commands(text: str) -> list[tuple[str, ...]]:
    """Return the words and signs outside single quotes of each line, quoted ones as `'`."""
    lines = []
    for line in text.split("\n"):
        assert line.count("'") % 2 == 0
        lines.append(tuple(re.sub(r"'[^']*'", " ' ", line).replace(";", " ; ").split()))
    return lines


def variables(text: str) -> list[str]:
    """Return what either language would replace."""
    if text.startswith("#!ipxe"):
        return re.findall(r"\$\{[^}]*", text)
    return re.findall(r"\$[a-z0-9_{(]*", re.sub(r"'[^']*'", "", text), re.IGNORECASE)


@given(name=TEXTS, trust=st.sampled_from(list(Stage0Trust)), is_unified=st.booleans())
def test_no_name_changes_what_a_script_does(name: str, trust: Stage0Trust, is_unified: bool) -> None:
    load = build_load(CommandLine.parse("quiet"), trust, Source("10.0.0.7", 8471))
    for boot, read in ((IPXE.boot, ipxe_commands), (GRUB.boot, grub_commands)):
        plain, evil = (boot(build_stage0(each, is_unified=is_unified), load) for each in ("plain", name))
        assert read(evil) == read(plain)
        assert variables(evil) == variables(plain)
        assert evil.isascii()


@given(reason=TEXTS)
def test_no_reason_changes_what_a_script_does(reason: str) -> None:
    origin, mac = Source("fd00::1", 8080), Mac("52:54:00:12:34:56")
    for dialect, read in ((IPXE, ipxe_commands), (GRUB, grub_commands)):
        plain, evil = (dialect.refusal(origin, mac, each) for each in ("plain", reason))
        assert read(evil) == read(plain)
        assert variables(evil) == variables(plain)


def unquoted(words: tuple[str, ...]) -> list[str]:
    return [word for word in words if word != "'"]


def kernel_words(line: str) -> list[str]:
    """Return a command line's words without their quotes, as the kernel takes them."""
    return [word.replace('"', "") for word in re.findall(r'(?:[^\s"]|"[^"]*(?:"|\Z))+', line)]


def grub_linux(line: str) -> str:
    """Return what GRUB's `linux` makes of its arguments: grub-core/lib/cmdline.c."""
    told = []
    for argument in shlex.split(line, posix=True):
        escaped = re.sub(r"([\\'\"])", r"\\\1", argument)
        told.append(f'"{escaped}"' if " " in argument else escaped)
    return " ".join(told)


@given(cmdline=TEXTS, trust=st.sampled_from(list(Stage0Trust)))
@example(cmdline='a="b c" "d e"', trust=Stage0Trust.LAN)
@example(cmdline="quiet", trust=Stage0Trust.LAN)
def test_a_command_line_is_refused_or_arrives_and_changes_nothing_else(cmdline: str, trust: Stage0Trust) -> None:
    plain = build_load(CommandLine.parse("quiet"), trust, Source("10.0.0.7", 8471))
    with suppress(ReleaseError):
        line = CommandLine.parse(cmdline)
        load = build_load(line, trust, Source("10.0.0.7", 8471))
        for is_unified in (False, True):
            stage0 = build_stage0("tiny", is_unified=is_unified)
            assert ipxe_commands(IPXE.boot(stage0, load)) == ipxe_commands(IPXE.boot(stage0, plain))
            assert variables(IPXE.boot(stage0, load)) == variables(IPXE.boot(stage0, plain))
            ours, theirs = (grub_commands(GRUB.boot(stage0, each)) for each in (load, plain))
            assert [unquoted(each) for each in ours] == [unquoted(each) for each in theirs]
            assert variables(GRUB.boot(stage0, load)) == variables(GRUB.boot(stage0, plain))
        assert kernel_words(line.ipxe) == kernel_words(cmdline)
        assert kernel_words(grub_linux(line.grub)) == kernel_words(cmdline)


ODD = r"""a=,b:c;d [e] (f) g%h @i +j ~k !l *m ?n {o} <p> |q &r ^s `t $u a||b c&&d e#f x=$(y) - -- --- /z"""


def test_odd_signs_arrive() -> None:
    line = CommandLine.parse(ODD + ' dyndbg="file a.c +p" "q r" s="t"')
    assert line.ipxe.split() == f'{ODD} dyndbg="file a.c +p" "q r" s="t"'.split()
    assert grub_linux(line.grub) == f'{ODD} "dyndbg=file a.c +p" "q r" s=t'
    assert shlex.split(LoadOptions(line).grub) == line.ipxe.split()


@pytest.mark.parametrize(
    "cmdline",
    [
        "a || b", "a && b", "a ; b", "# a", "a #b", "${a}", "a${b", "it's", "a\\", "é", "a\x1bb", 'a="b', 'a"b"',
        '""', '"a"b', 'a="b  c"', 'a="b || c"', 'a="b #c"', 'a="b\nc"', 'a="b\tc"', 'a=b="c d"', "a\x00b", "a\x7fb",
    ],
)  # fmt: skip
def test_a_command_line_that_no_script_can_carry_is_refused(cmdline: str) -> None:
    with pytest.raises(ReleaseError, match="cannot be written into a boot script"):
        CommandLine.parse(cmdline)
    with pytest.raises(ReleaseError, match="cannot be written into a boot script"):
        check_carried("tiny", cmdline, ())
    with pytest.raises(ReleaseError, match="cannot be written into a boot script"):
        check_carried("tiny", "", (Profile("gpu", cmdline=cmdline),))


@pytest.mark.parametrize("name", ["", *EVIL, " a", "a  b", "a" * 129])
def test_a_name_that_no_script_can_carry_is_refused(name: str) -> None:
    if name in ("-n", "--"):
        return  # words of an echo that has begun
    if name == "?*[a]":
        return
    with pytest.raises(ReleaseError, match="name cannot be written into a boot script"):
        check_carried(name, "", ())


@pytest.mark.parametrize("name", ["debian-12", "Rack 7 (blue), 2026.11+2", "a/b:c@d=e~f!"])
def test_a_usual_name_is_shown_as_it_is(name: str) -> None:
    check_carried(name, "quiet", ())
    assert Said(name).ipxe == name


def test_a_command_line_longer_than_the_kernel_takes_is_refused() -> None:
    room = grammar.COMMAND_LINE_MAX - OWN_MAX
    check_carried("tiny", "a" * room, ())
    for cmdline, profile in (("a" * (room + 1), ""), ("a" * room, "b")):
        with pytest.raises(ReleaseError, match="too long for the kernel"):
            check_carried("tiny", cmdline, (Profile("gpu", cmdline=profile),))


def test_what_stage_0_adds_at_most_fits() -> None:
    stage0, host = build_stage0("tiny"), "a" * 63 + ".example"
    line = node_cmdline(
        stage0, mac="52:54:00:12:34:56", server=f"https://{host}:65535", rack="r" * 64, named="p" * 64,
        channel="c" * 64,
    )  # fmt: skip
    assert len(line.ipxe) + len("initrd=node.img initrd=initramfs.img ") <= OWN_MAX


@given(TEXTS)
def test_no_value_holds_anything_that_a_language_reads(text: str) -> None:
    for build in (
        Token,
        Mac,
        lambda each: Source(each, 80),
        lambda each: Url(Source("10.0.0.1", 80), each),
        lambda each: Url(Source("10.0.0.1", 80), f"/k/{each}"),
        lambda each: Url(Source("10.0.0.1", 80), "/boot.ipxe", Mac("52:54:00:12:34:56"), Token(each)),
    ):
        with suppress(ValueError):
            value = build(text)
            for told in (value.ipxe, value.grub.removeprefix("'").removesuffix("'")):
                assert re.fullmatch(r"[A-Za-z0-9._:/,()\[\]?=&-]+", told.replace("&&", ";"))


def test_text_may_not_be_filled_in_nor_a_line_of_the_other_language() -> None:
    with pytest.raises(TypeError, match="may not stand in a script"):
        grammar.ipxe("echo <text>", text="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a line of grub in a script of ipxe"):
        grammar.ipxe("<line>", line=grammar.grub("boot"))
    with pytest.raises(ValueError, match="may not stand in a script"):
        Line("ipxe", "a\nb")


@pytest.mark.parametrize("module", [ipxe, grub])
def test_scripts_are_made_of_literal_templates_alone(module: ModuleType) -> None:
    """Nothing in a module that writes scripts formats text, makes a line by itself, or computes a template."""
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text())
    literals = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        assert not isinstance(node, ast.JoinedStr), ast.unparse(node)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        assert name not in ("Line", "str.format"), ast.unparse(node)
        assert not name.endswith(".format"), ast.unparse(node)
        if name in ("ipxe", "grub", "extlinux"):
            template = node.args[0]
            choices = (template.body, template.orelse) if isinstance(template, ast.IfExp) else (template,)
            for each in choices:
                is_literal = isinstance(each, ast.Constant) or (isinstance(each, ast.Name) and each.id in literals)
                assert is_literal, ast.unparse(node)
