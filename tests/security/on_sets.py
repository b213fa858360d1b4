"""Attacks by a prepared set whose hashes are all right: a hash is no signature."""

import json
import os
import shutil
import struct
import zlib
from hashlib import sha256
from pathlib import Path

import matplotlib.font_manager
import matplotlib.pyplot  # noqa: F401

from depthmix.store.reader import ShardSet
from depthmix.store.record import HEAD, TAIL
from tests.security.box import MIB, Box, attack, bomb, cli, refill, reseal, reshard

FAR = 1 << 40


def read(root: Path) -> object:
    """Read all of a set and return what came out, for a look whether the canary is among it."""
    return [sample.image.tobytes() for sample in ShardSet(root)]


def linked(box: Box, name: str, target: Path) -> Path:
    root = box.copy()
    (root / name).unlink()
    (root / name).symlink_to(target)
    return root


@attack
def a_record_names_a_shard_above_its_folder(box):
    box.write("outside.h5", b"x")
    return read(reseal(box.copy(), lambda body: body["shards"][0].update(file="../outside.h5")))


@attack
def a_record_names_a_shard_by_its_absolute_path(box):
    return read(reseal(box.copy(), lambda body: body["shards"][0].update(file=str(box.canary))))


@attack
def a_record_names_a_shard_with_a_nul(box):
    return read(reseal(box.copy(), lambda body: body["shards"][0].update(file="00000.h5\0.h5")))


@attack
def a_record_names_a_shard_in_other_digits(box):
    arabic = "\u0660\u0661\u0662\u0663\u0664.h5"
    return read(reseal(box.copy(), lambda body: body["shards"][0].update(file=arabic)))


@attack
def a_shard_is_a_link_to_a_file_outside(box):
    return read(linked(box, "00000.h5", box.canary))


@attack
def a_link_to_a_file_outside_is_verified(box):
    return cli("verify", linked(box, "00000.h5", box.canary))


@attack
def a_shard_record_is_a_link_to_a_file_outside(box):
    return read(linked(box, "00000.json", box.canary))


@attack
def the_record_of_the_set_is_a_link_to_a_file_outside(box):
    return read(linked(box, "index.json", box.canary))


@attack
def the_list_of_skipped_samples_is_a_link_to_a_file_outside(box):
    return cli("verify", linked(box, "quarantine.jsonl", box.canary))


@attack
def a_link_with_the_right_bytes_behind_it_leads_outside(box):
    return read(linked(box, "00000.h5", box.canary.parent / "00000.h5"))


@attack
def a_shard_is_a_pipe(box):
    root = box.copy()
    (root / "00000.h5").unlink()
    os.mkfifo(root / "00000.h5")
    return read(root)


@attack
def the_list_of_skipped_samples_is_a_pipe(box):
    root = box.copy()
    (root / "quarantine.jsonl").unlink()
    os.mkfifo(root / "quarantine.jsonl")
    return cli("verify", root)


@attack
def the_record_of_the_set_is_a_device_without_end(box):
    return read(linked(box, "index.json", Path("/dev/zero")))


@attack
def a_shard_is_a_device_without_end(box):
    return cli("verify", linked(box, "00000.h5", Path("/dev/zero")))


@attack
def the_record_of_the_set_has_a_terabyte(box):
    root = box.copy()
    (root / "index.json").unlink()
    box.sparse("set/index.json", FAR, HEAD)
    return read(root)


@attack
def the_list_of_skipped_samples_has_a_terabyte(box):
    root = box.copy()
    box.sparse("set/quarantine.jsonl", FAR)
    return cli("verify", root)


@attack
def a_sample_spans_a_terabyte_of_a_sparse_shard(box):
    root = box.copy()
    os.truncate(root / "00000.h5", FAR)

    def change(body):
        body["size"] = FAR
        body["samples"]["lengths"][0][0] = FAR - body["samples"]["offsets"][0][0]

    return read(reshard(root, change))


@attack
def a_sample_states_a_trillion_pixels(box):
    return read(reshard(box.copy(), lambda body: body["samples"]["sizes"].__setitem__(0, [MIB, MIB])))


@attack
def sizes_whose_product_wraps_around(box):
    wraps = [1 << 33, (1 << 31) + 1]
    return read(reshard(box.copy(), lambda body: body["samples"]["sizes"].__setitem__(0, wraps)))


@attack
def sizes_are_negative(box):
    return read(reshard(box.copy(), lambda body: body["samples"]["sizes"].__setitem__(0, [-12, -16])))


@attack
def offsets_lie_behind_the_file(box):
    return read(reshard(box.copy(), lambda body: body["samples"]["offsets"][0].__setitem__(0, FAR)))


@attack
def offsets_have_seventy_bits(box):
    return read(reshard(box.copy(), lambda body: body["samples"]["offsets"][0].__setitem__(0, 1 << 70)))


@attack
def columns_of_a_record_are_lists_where_tables_belong(box):
    return read(reshard(box.copy(), lambda body: body.update(samples=[1, 2])))


@attack
def a_count_is_negative(box):
    def change(body):
        body["shards"][0]["count"] -= 10
        body["count"] -= 10

    return read(reseal(box.copy(), change))


@attack
def a_count_has_thirty_digits(box):
    def change(body):
        body["shards"][0]["count"] = body["count"] = 10**30

    root = reseal(box.copy(), change)
    return [ShardSet(root).keys, cli("verify", root)]


@attack
def a_record_is_nested_a_hundred_thousand_times(box):
    return made_up(box, b'"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")


@bomb(512)
def a_record_of_sixty_megabytes_holds_twenty_million_lists(box):
    return made_up(box, b'"a": [' + b"[]," * (20 * MIB) + b"[]]}\n")


@bomb(512)
def a_record_of_sixty_megabytes_holds_eight_million_objects(box):
    return made_up(box, b'"a": [' + b'{"":0},' * (8 * MIB) + b"[]]}\n")


@attack
def a_record_holds_a_number_of_a_million_digits(box):
    return made_up(box, b'"schema": ' + b"9" * MIB + b"}\n")


@attack
def a_record_states_two_names_for_one_thing(box):
    data = (box.sound / "index.json").read_bytes()
    rest = data[len(HEAD) + 64 + len(TAIL) :].rstrip()[:-1] + b', "name": "other"}\n'
    return made_up(box, rest)


@attack
def a_camera_is_not_a_number(box):
    root = box.copy()
    text = (root / "00000.json").read_text().replace('"cameras": [[20.0', '"cameras": [[NaN', 1)
    rest = text.encode()[len(HEAD) + 64 + len(TAIL) :]
    raw = HEAD + sha256(rest).hexdigest().encode() + TAIL + rest
    return read(reshard(root, lambda body: None, raw=raw))


@attack
def a_camera_is_infinite(box):
    root = box.copy()
    text = (root / "00000.json").read_text().replace('"cameras": [[20.0', '"cameras": [[1e999', 1)
    rest = text.encode()[len(HEAD) + 64 + len(TAIL) :]
    raw = HEAD + sha256(rest).hexdigest().encode() + TAIL + rest
    return read(reshard(root, lambda body: None, raw=raw))


@attack
def a_key_has_ten_million_letters(box):
    root = reshard(box.copy(), lambda body: body["samples"]["keys"].__setitem__(0, "k" * 10 * MIB))
    assert len(cli("verify", root)) < 10_000
    with (root / "00000.h5").open("r+b") as file:
        file.seek(3000)
        file.write(b"damage")
    return read(root)


@attack
def keys_speak_to_the_terminal(box):
    root = reshard(box.copy(), lambda body: body["samples"]["keys"].__setitem__(0, "\x1b[2J\u202eevil\r\x07"))
    flip_first(root)
    return cli("verify", root) + cli("inspect", root)


@attack
def a_licence_speaks_to_the_terminal(box):
    root = reseal(box.copy(), lambda body: body["card"].update(licence="\x1b]0;owned\x07 CC0"))
    return cli("inspect", root)


@attack
def a_name_is_markup_of_the_progress_bar(box):
    return cli("inspect", reseal(box.copy(), lambda body: body.update(name="[/red][link=file:///etc]")))


@attack
def keys_lead_out_of_the_folder_and_run_in_a_browser(box):
    key = "../../../evil/<script>alert(1)</script>"
    root = reshard(box.copy(), lambda body: body["samples"]["keys"].__setitem__(0, key))
    cli("inspect", root, "--page", box.root / "page.html")
    page = (box.root / "page.html").read_text()
    assert "<script>" not in page
    return page


@attack
def names_run_in_a_browser_that_shows_the_report(box):
    hostile = "<img src=x onerror=alert(1)>"

    def change(body):
        body["name"] = hostile
        body["card"]["licence"] = hostile
        body["skipped"] = [{"key": hostile, "file": hostile, "reason": hostile}]

    reseal(box.copy("data/" + "web"), change)
    box.write("run/metrics.csv", f"step,epoch,{hostile}\n1,0,3.0\n")
    box.write("run/config.yaml", f"data: {{sources: {{web: {{path: '{hostile}'}}}}}}\n# {hostile}\n")
    losses = {"seen": 1, "mean_score": 1, "weight": 1, "losses": {hostile: 1.0}}
    worst = {"samples": [{"sample": hostile, "source": hostile, **losses}]}
    box.write("run/worst.json", json.dumps(worst))
    images = [{"set": hostile, "alignment": "none", "image": f"{hostile}{i}", "abs_rel": i} for i in range(3)]
    box.write("run/test_images.json", json.dumps({"images": images}))
    box.write("run/test.json", json.dumps({"rows": [{"set": hostile, "alignment": hostile, "abs_rel": 1.0}]}))
    shutil.copytree(box.root / "run", box.root / hostile)
    cli("report", box.root / "run", "--data", box.root / "data")
    cli("report", box.root / "run", box.root / hostile, "--data", box.root / "data")
    cli("view", box.root / "data", "--out", box.root / "run" / "view.html")
    names = ("report.html", "comparison.html", "view.html")
    pages = [(box.root / "run" / name).read_text() for name in names]
    assert all("<img src=x" not in page for page in pages)
    return pages[0]


@attack
def a_key_is_a_formula_that_matplotlib_cannot_set(box):
    from depthmix.plot import show_sample

    root = reshard(box.copy(), lambda body: body["samples"]["keys"].__setitem__(0, r"$\undefined{$ \x1b"))
    figure = show_sample(ShardSet(root)[0])
    figure.savefig(box.root / "figure.png", dpi=20)


# What follows hands a decoder bytes that it must not trust.


def jpeg(height: int, width: int, frame: int = 0xC0, scans: int = 1) -> bytes:
    tables = b"\xff\xdb\x00\x43\x00" + bytes([1]) * 64
    head = struct.pack(">BHH", 8, height, width) + b"\x03" + b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    start = b"\xff" + bytes([frame]) + struct.pack(">H", len(head) + 2) + head
    scan = b"\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00" + bytes(8)
    return b"\xff\xd8" + tables + start + scan * scans + b"\xff\xd9"


def png(height: int, width: int, *, bits: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    text = chunk(b"zTXt", b"a\0\0" + more) if more else b""
    return b"\x89PNG\r\n\x1a\n" + head + text + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def as_png(root: Path) -> Path:
    return reseal(root, lambda body: body["options"]["codec"].update(image="png"))


@attack
def a_jpeg_states_another_size_than_its_record(box):
    return read(refill(box.copy(), 0, jpeg(65535, 65535), size=(12, 16)))


@attack
def a_jpeg_and_its_record_state_four_billion_pixels(box):
    return read(refill(box.copy(), 0, jpeg(65535, 65535), size=(65535, 65535)))


@attack
def a_jpeg_asks_for_ten_thousand_passes(box):
    return read(refill(box.copy(), 0, jpeg(8000, 8000, 0xC2, 10_000), size=(8000, 8000)))


@attack
def a_baseline_jpeg_asks_for_ten_thousand_passes(box):
    return read(refill(box.copy(), 0, jpeg(4000, 4000, 0xC0, 10_000), size=(4000, 4000)))


@attack
def a_png_has_sixteen_bits_and_alpha(box):
    return read(as_png(refill(box.copy(), 0, png(8000, 8000, bits=16, colour=6), size=(8000, 8000))))


@attack
def a_png_carries_a_text_that_unpacks_to_a_gigabyte(box):
    packer = zlib.compressobj(9)
    first, again = (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    more = first + again * 1023 + packer.flush()
    return read(as_png(refill(box.copy(), 0, png(12, 16, more=more), size=(12, 16))))


def frame(
    stated: int, *, size: int = 1, flags: int = 0x30, block: int | None = None, rest: bytes = b""
) -> bytes:
    packed = 16 + len(rest)
    return (
        struct.pack("<BBBBIII", 2, 1, flags, size, stated, stated if block is None else block, packed) + rest
    )


def masked(box: Box, blob: bytes, size: tuple[int, int]) -> Path:
    """Hand over a sample whose image is right and whose mask is the blob."""
    import numpy as np
    from kornia_rs import io

    image = bytes(io.encode_image_jpegturbo(np.zeros((*size, 3), np.uint8), 95, "4:4:4"))
    root = refill(box.copy(), 2, image + blob, size=size)

    def change(body):
        columns, start = body["samples"], body["samples"]["offsets"][0][0]
        columns["lengths"][0] = [len(image), 0, len(blob), 0, 0, 0, 0]
        columns["offsets"][0] = [start, start, start + len(image), *[start] * 4]
        columns["crc32"][0] = [zlib.crc32(image), 0, zlib.crc32(blob), 0, 0, 0, 0]

    return reshard(root, change)


@attack
def a_frame_unpacks_to_two_gigabytes(box):
    return read(masked(box, frame((1 << 31) - 1), (12, 16)))


@bomb(192)
def a_frame_of_sixteen_bytes_stands_for_sixty_million_pixels(box):
    # The image is honest, and takes the 192 MB that it shows.
    return read(masked(box, frame(8 * MIB), (8192, 8192)))


@attack
def a_frame_has_blocks_larger_than_itself(box):
    return read(masked(box, frame(24, block=(1 << 32) - 1, rest=bytes(64)), (12, 16)))


@attack
def a_frame_asks_for_another_codec(box):
    return read(masked(box, frame(24, flags=0x90, rest=bytes(64)), (12, 16)))


@attack
def two_thousand_frames_are_damaged_behind_right_checksums(box):
    """Only what the decoder itself refuses stands between these bytes and its memory."""
    import numpy as np

    from depthmix.errors import CorruptShard
    from depthmix.store.codec import decode_mask, decode_planes, encode_mask, encode_planes

    random = np.random.default_rng(3)
    mask, planes = random.random((96, 96)) < 0.5, random.integers(0, 70_000, (96, 96)).astype(np.int32)
    for number in range(2000):
        blob = bytearray(encode_mask(mask) if number % 2 else encode_planes(planes))
        for _ in range(1 + number % 4):
            place = int(random.integers(16 if number % 3 else 0, len(blob)))
            blob[place] = int(random.integers(256))
        try:
            found = decode_mask(bytes(blob), (96, 96)) if number % 2 else decode_planes(bytes(blob), (96, 96))
        except CorruptShard:
            continue
        assert found.shape == (96, 96)


@attack
def prepare_is_pointed_at_a_folder_of_links(box):
    from depthmix.prepare import prepare
    from tests.store.helpers import TinySource, make_raw

    out = box.root / "out"
    out.mkdir()
    for name in ("index.json", "00000.h5", "00000.json", "quarantine.jsonl"):
        (out / name).symlink_to(box.canary)
    prepare(TinySource(make_raw(box.root / "raw", 2)), out)


def made_up(box: Box, rest: bytes) -> object:
    root = box.copy()
    (root / "index.json").write_bytes(HEAD + sha256(rest).hexdigest().encode() + TAIL + rest)
    return read(root)


def flip_first(root: Path) -> None:
    data = bytearray((root / "00000.h5").read_bytes())
    data[3000] ^= 1
    (root / "00000.h5").write_bytes(data)
