"""Make axon_shell/icons anew from ui/icon.svg: PNGs, Windows' .ico and macOS's .icns.

    .venv/bin/python tools/icons.py            write them
    .venv/bin/python tools/icons.py --check    exit code 1 if the committed ones show something else

It needs PySide6, which `pip install -e '.[qt]'` brings; the program itself only copies the finished files. Nothing
opens a window. Another version of Qt may compress or round otherwise, so that `--check` compares pixels, not bytes.
"""

from __future__ import annotations

import struct
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "ui" / "icon.svg"
ICONS = REPOSITORY / "axon_shell" / "icons"

PNG_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
ICO_SIZES = (16, 24, 32, 48, 64, 128, 256)
ICO_PNG_FROM = 128  # smaller ones as bitmaps: some readers of small icons know nothing else
# The kinds of image in an .icns that may be PNGs everywhere, "@2x" ones included, and their sizes.
ICNS_KINDS = {
    b"ic11": 32, b"ic12": 64, b"ic07": 128, b"ic13": 256, b"ic08": 256, b"ic14": 512, b"ic09": 512, b"ic10": 1024,
}  # fmt: skip
MAC_TILE = 824 / 1024  # of the picture's width; the Dock expects the rest to be empty
RIM = 1.4  # width of the line around the tile, in 64ths of the picture
SMALL = 32  # up to this size the graph fills more of its tile
NEAR = 4  # of 255: how far a colour may be off before pictures count as different

SVG = "http://www.w3.org/2000/svg"


def drawing(size: int | None = None) -> bytes:
    """The icon as SVG, for one size or for all: with a rim that shows on dark panels, and a bold graph if small."""
    ET.register_namespace("", SVG)
    root = ET.fromstring(SOURCE.read_text("utf-8"))
    _tile, *graph = root
    width = max(RIM, 64 / size) if size else RIM  # never thinner than a pixel
    rim = ET.Element(f"{{{SVG}}}rect", {"fill": "none", "stroke": "#36425a", "stroke-width": f"{width:g}"})
    rim.attrib |= {"x": f"{width / 2:g}", "y": f"{width / 2:g}", "rx": f"{15 - width / 2:g}"}
    rim.attrib |= {"width": f"{64 - width:g}", "height": f"{64 - width:g}"}
    root.insert(1, rim)
    for edges in root.iter(f"{{{SVG}}}g"):
        edges.attrib.setdefault("fill", "none")
    if size and size <= SMALL:
        bold = ET.Element(f"{{{SVG}}}g", transform="translate(32 32) scale(1.25) translate(-32.5 -31)")
        for element in graph:
            root.remove(element)
            bold.append(element)
            if "stroke-width" in element.attrib:
                element.attrib |= {"stroke-width": "3.6", "stroke": "#8496b4"}
        root.append(bold)
    return ET.tostring(root)


def render(size: int, share: float = 1.0) -> QImage:
    """The icon in one size; the tile takes this share of the width."""
    image = QImage(size, size, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    margin = size * (1 - share) / 2
    renderer = QSvgRenderer(QByteArray(drawing(size)))
    renderer.render(painter, QRectF(margin, margin, size * share, size * share))
    painter.end()
    return image.convertToFormat(QImage.Format.Format_ARGB32)


def png(image: QImage) -> bytes:
    """A picture as PNG file."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    assert image.save(buffer, "PNG", 0)  # type: ignore[call-overload]  # 0: smallest
    return buffer.data().data()


def bitmap(image: QImage) -> bytes:
    """A picture as an .ico holds small ones: header, pixels from the bottom up, and a mask that hides nothing."""
    size = image.width()
    header = struct.pack("<IiiHHIIiiII", 40, size, 2 * size, 1, 32, 0, 0, 0, 0, 0, 0)
    pixels = bytes(image.constBits())  # 0xAARRGGBB, little-endian: B, G, R, A
    rows = [pixels[4 * size * row : 4 * size * (row + 1)] for row in reversed(range(size))]
    mask = bytes((size + 31) // 32 * 4 * size)
    return header + b"".join(rows) + mask


def ico() -> bytes:
    """Windows' icon: a list of the pictures, then the pictures."""
    pictures = [png(render(size)) if size >= ICO_PNG_FROM else bitmap(render(size)) for size in ICO_SIZES]
    head = struct.pack("<HHH", 0, 1, len(pictures))
    offset = len(head) + 16 * len(pictures)
    for size, picture in zip(ICO_SIZES, pictures, strict=True):
        head += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(picture), offset)  # 0 stands for 256
        offset += len(picture)
    return head + b"".join(pictures)


def icns() -> bytes:
    """macOS's icon: kind, length and picture, one after the other."""
    parts = b""
    for kind, size in ICNS_KINDS.items():
        picture = png(render(size, MAC_TILE))
        parts += kind + struct.pack(">I", 8 + len(picture)) + picture
    return b"icns" + struct.pack(">I", 8 + len(parts)) + parts


def everything() -> dict[str, bytes]:
    """The whole set: file names and contents."""
    files = {f"axon-shell-{size}.png": png(render(size)) for size in PNG_SIZES}
    return files | {"axon-shell.svg": drawing() + b"\n", "axon-shell.ico": ico(), "axon-shell.icns": icns()}


# -- comparing ----------------------------------------------------------------


def pictures(name: str, content: bytes) -> list[QImage]:
    """The pictures in a file, read with our own eyes and not with what wrote them."""
    if name.endswith(".ico"):
        (count,) = struct.unpack_from("<H", content, 4)
        entries = [struct.unpack_from("<II", content, 6 + 16 * number + 8) for number in range(count)]
        parts = [content[offset : offset + length] for length, offset in entries]
    elif name.endswith(".icns"):
        parts, offset = [], 8
        while offset < len(content):
            (length,) = struct.unpack_from(">I", content, offset + 4)
            parts.append(content[offset + 8 : offset + length])
            offset += length
    else:
        parts = [content]
    return [picture(part) for part in parts]


def picture(part: bytes) -> QImage:
    """A PNG or a bitmap of an .ico as picture."""
    if part.startswith(b"\x89PNG"):
        return QImage.fromData(part).convertToFormat(QImage.Format.Format_ARGB32)
    (size,) = struct.unpack_from("<i", part, 4)
    pixels = part[40 : 40 + 4 * size * size]
    rows = [pixels[4 * size * row : 4 * size * (row + 1)] for row in reversed(range(size))]
    return QImage(b"".join(rows), size, size, QImage.Format.Format_ARGB32).copy()


def alike(one: QImage, other: QImage) -> bool:
    """Whether two pictures show the same to the eye."""
    if one.size() != other.size():
        return False
    return all(abs(a - b) <= NEAR for a, b in zip(bytes(one.constBits()), bytes(other.constBits()), strict=True))


def same(name: str, committed: bytes, fresh: bytes) -> bool:
    """Whether two files show the same."""
    if committed == fresh or name.endswith(".svg"):
        return committed == fresh
    before, after = pictures(name, committed), pictures(name, fresh)
    return len(before) == len(after) and all(map(alike, before, after))


def main() -> int:
    """Write the set, or compare it with the committed one."""
    fresh = everything()
    if sys.argv[1:] != ["--check"]:
        ICONS.mkdir(exist_ok=True)
        for name, content in fresh.items():
            (ICONS / name).write_bytes(content)
            print(f"{ICONS / name} ({len(content):,} bytes)")
        return 0
    committed = {path.name: path.read_bytes() for path in ICONS.iterdir()}
    wrong = sorted(fresh.keys() ^ committed.keys())
    wrong += [name for name in fresh.keys() & committed.keys() if not same(name, committed[name], fresh[name])]
    for name in wrong:
        print(f"{ICONS / name} is not what {SOURCE} gives: run tools/icons.py.", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
