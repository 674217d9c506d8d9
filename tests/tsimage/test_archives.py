import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import threading
import tracemalloc
import zipfile
import zlib
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsimage import UserError, archives
from tsimage.archive_limits import FREE_BYTES
from tsimage.archives import extract, files_of, is_archive, names_of
from tsimage.tars import MAX_DICTIONARY_BYTES

FRESH = "get a fresh copy from its source"
CONTENT = {"set/a.txt": b"1 2 3\n", "set/deep/b.TXT": b"4 5 6\n" * 50_000, "set/c.csv": b"x,y\n"}
MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz", ".tar.bz2": "w:bz2"}


def member(name, content=b"", kind=tarfile.REGTYPE, **fields):
    """A tar member: its header and its content."""
    header = tarfile.TarInfo(name)
    header.size, header.type = len(content), kind
    for field, value in fields.items():
        setattr(header, field, value)
    return header, content


def write_tar(path, *members, suffix=".tar"):
    with tarfile.open(path, MODES[suffix]) as archive:
        for header, content in members:
            archive.addfile(header, io.BytesIO(content))
    return path


def write_zip(path, *entries, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def write(folder, suffix, content=CONTENT):
    path = folder / f"made{suffix}"
    if suffix == ".zip":
        return write_zip(path, *content.items())
    return write_tar(path, *(member(*item) for item in content.items()), suffix=suffix)


def read(path, suffixes=()):
    return {name: content() for name, content in files_of(path, suffixes).items()}


def below(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refuses(tmp_path):
    """Want the same one sentence from reading and from unpacking, little memory, and nothing written anywhere."""

    def _refuses(path, text, peak=32 * 2**20):
        before = below(tmp_path)
        tracemalloc.start()
        for action in (read, lambda path: extract(path, tmp_path / "out" / "set")):
            with pytest.raises(UserError) as caught:
                action(path)
            assert str(caught.value) == text
            assert "\n" not in text
            assert text.isprintable()
        assert tracemalloc.get_traced_memory()[1] < peak
        tracemalloc.stop()
        assert below(tmp_path) == before
        assert list((tmp_path / "out").glob("*")) == []

    yield _refuses
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".zip", *MODES])
def test_every_kind_gives_the_same_files(suffix, tmp_path):
    path = write(tmp_path, suffix)
    assert read(path) == CONTENT
    assert list(files_of(path)) == sorted(CONTENT)
    assert set(files_of(path, (".txt",))) == {"set/a.txt", "set/deep/b.TXT"}
    assert set(files_of(path, (".CSV", "A.txt"))) == {"set/a.txt", "set/c.csv"}
    assert files_of(path, (".mat",)) == {}
    extract(path, tmp_path / "new" / "here")
    assert below(tmp_path / "new") == {f"here/{name}": content for name, content in CONTENT.items()}


@pytest.mark.parametrize("suffix", [".zip", *MODES])
def test_a_path_may_go_on_inside_an_archive(suffix, tmp_path, says):
    path = write(tmp_path, suffix)
    assert read(path / "set" / "deep") == {"b.TXT": CONTENT["set/deep/b.TXT"]}
    with says(f"'{path}' holds no files below 'se/': check the path inside the archive"):
        files_of(path / "se")
    with says(f"'{path}' holds no files below 'se/': check the path inside the archive"):
        extract(path / "se", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    extract(path / "set" / "deep", tmp_path / "out")
    assert below(tmp_path / "out") == {"b.TXT": CONTENT["set/deep/b.TXT"]}
    with says(f"'{path}' holds no files that end in .mat or .m below 'set/': check the path inside the archive"):
        files_of(path / "set", (".mat", ".m"))


def test_a_folder_is_read_without_hidden_files_and_pipes(tmp_path):
    for name in ("a.txt", "deep/b.txt", ".hidden/c.txt", "deep/.d.txt", "__MACOSX/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "round").symlink_to(tmp_path)
    assert read(tmp_path, (".txt",)) == {"a.txt": b"a.txt", "deep/b.txt": b"deep/b.txt"}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_hidden_members_are_left_out_and_dots_in_front_mean_nothing(suffix, tmp_path):
    content = {"./set/a.txt": b"1", "__MACOSX/set/._a.txt": b"2", "set/.git/b.txt": b"3"}
    path = write(tmp_path, suffix, content)
    assert read(path) == {"set/a.txt": b"1"}
    extract(path, tmp_path / "out")
    assert below(tmp_path / "out") == {"set/a.txt": b"1"}


def test_a_zip_in_a_zip_is_looked_into(tmp_path):
    inner = write(tmp_path, ".zip").read_bytes()
    path = write_zip(tmp_path / "outer.zip", ("UCI HAR Dataset.zip", inner), ("readme.md", b"read me"))
    assert read(path, (".txt", ".csv")) == CONTENT
    assert set(files_of(path)) == {"UCI HAR Dataset.zip", "readme.md"}
    extract(path, tmp_path / "out")
    expected = {f"UCI HAR Dataset/{name}": content for name, content in CONTENT.items()}
    assert below(tmp_path / "out") == {**expected, "readme.md": b"read me"}


def test_what_is_an_archive_is_told_by_content_or_name(tmp_path):
    for suffix in (".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2"):
        plain = write(tmp_path, suffix).rename(tmp_path / f"plain{suffix.replace('.', '_')}")
        assert is_archive(plain)
        assert read(plain) == CONTENT
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(b"x,y\n" * 1000))
    (tmp_path / "table.csv").write_text("x,y\n")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b broken")
    (tmp_path / "damaged.zip").write_bytes(b"?")
    assert [is_archive(tmp_path / n) for n in ("table.csv.gz", "table.csv", "broken.gz", "damaged.zip", "none")] == [
        *(False, False, False),
        *(True, False),
    ]
    assert not is_archive(tmp_path)


def test_what_is_no_archive_is_refused(tmp_path, says):
    kinds = ".zip, .tar, .tar.gz, .tgz, .tar.xz, .txz, .tar.bz2, .tbz2"
    (tmp_path / "a.csv").write_text("x,y\n")
    with says(f"'{tmp_path / 'a.csv'}' is neither a folder nor an archive: give one of {kinds}"):
        files_of(tmp_path / "a.csv")
    with says(f"'{tmp_path / 'none'}' does not exist: give a folder, or one of {kinds}"):
        files_of(tmp_path / "none")


def test_a_zip_is_not_unpacked_to_list_it(tmp_path):
    path = write(tmp_path, ".zip")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"set/deep/b.TXT") + 40] ^= 0xFF  # in the packed content
    path.write_bytes(raw)
    files = files_of(path)
    assert files["set/a.txt"]() == CONTENT["set/a.txt"]
    with pytest.raises(UserError, match=r"made\.zip: it is damaged \(.*\): get a fresh copy from its source"):
        files["set/deep/b.TXT"]()


def test_what_a_tar_holds_goes_to_disk_beyond_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "IN_MEMORY_BYTES", 1000)
    content = {f"{i}.txt": bytes([i]) * 2**20 for i in range(64)}
    path = write(tmp_path, ".tar", content)
    tracemalloc.start()
    files = files_of(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    assert all(files[name]() == content[name] for name in content)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_threads_may_read_at_once(suffix, tmp_path):
    content = {f"{i}.txt": os.urandom(1000) * 300 for i in range(20)}
    files, wrong = files_of(write(tmp_path, suffix, content)), []

    def check():
        wrong.extend(name for name in content if files[name]() != content[name])

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_folder_that_is_there_is_not_overwritten(tmp_path, says):
    path = write(tmp_path, ".zip")
    (tmp_path / "out").mkdir()
    with says(f"'{tmp_path / 'out'}' exists already: move it away, or unpack '{path}' elsewhere"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.xz"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil.txt", "../evil.txt"),
        ("set/../../evil.txt", "set/../../evil.txt"),
        ("/tmp/evil.txt", "/tmp/evil.txt"),
        ("C:/evil.txt", "C:/evil.txt"),
        ("set\\..\\evil.txt", "set\\..\\evil.txt"),
        ("a\nb.txt", "a\\nb.txt"),
        ("..", ".."),
        ("n" * 256, "n" * 100 + "..."),
        ("n/" * 512 + "n", "n/" * 50 + "..."),
    ],
)
def test_names_that_leave_the_folder_are_refused(suffix, name, said, tmp_path, refuses):
    path = write(tmp_path, suffix, {"good.txt": b"1", name: b"evil"})
    refuses(
        path,
        f"{path}: the name '{said}' is not allowed in an archive (absolute, with '..', a drive, a backslash or a character "
        f"that is no text, or too long): {FRESH}",
    )


def test_a_name_with_nul_is_refused(tmp_path, refuses):
    path = write(tmp_path, ".zip", {"good.txtQ.exe": b"1"})
    path.write_bytes(path.read_bytes().replace(b"txtQ", b"txt\0"))
    refuses(
        path,
        f"{path}: the name 'good.txt\\x00.exe' is not allowed in an archive (absolute, with '..', a drive, a backslash or a "
        f"character that is no text, or too long): {FRESH}",
    )


def test_a_name_that_is_no_text_is_refused(tmp_path, refuses):
    path = write_tar(tmp_path / "a.tar", member("caf\udce9.txt", b"1"))
    refuses(
        path,
        f"{path}: the name 'caf\\udce9.txt' is not allowed in an archive (absolute, with '..', a drive, a backslash or a "
        f"character that is no text, or too long): {FRESH}",
    )


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids="slcbp"
)
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path, refuses):
    path = write_tar(
        tmp_path / "a.tar.gz",
        member("set/to", kind=kind, linkname="../../evil"),
        member("set/to/x", b"1"),
        suffix=".tgz",
    )
    refuses(
        path, f"{path}: 'set/to' is a link, a device or a sparse file, which are not allowed in an archive: {FRESH}"
    )


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(kind, tmp_path, refuses):
    info = zipfile.ZipInfo("set/to")
    info.external_attr = (kind | 0o777) << 16
    path = write_zip(tmp_path / "a.zip", (info, b"/etc/passwd"), ("set/to/x", b"1"))
    refuses(
        path, f"{path}: 'set/to' is a link, a device or a sparse file, which are not allowed in an archive: {FRESH}"
    )


def test_a_sparse_file_that_claims_a_terabyte_is_refused(tmp_path, refuses):
    header = member("big", kind=tarfile.GNUTYPE_SPARSE)[0]
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"00000000000\0" + b"00000000000\0"  # one piece of nothing
    block[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(block) + b"\0" * 1024)
    refuses(path, f"{path}: 'big' is a link, a device or a sparse file, which are not allowed in an archive: {FRESH}")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_one_name_twice_is_refused(suffix, tmp_path, refuses):
    path = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        write_zip(path, ("set/a.txt", b"1"), ("./set/a.txt", b"2"))
    else:
        write_tar(path, member("set/a.txt", b"1"), member("./set/a.txt", b"2"))
    refuses(path, f"{path}: 'set/a.txt' is there twice, or both a file and a folder: {FRESH}")


def test_a_file_below_a_file_is_refused_when_it_is_unpacked(tmp_path, says):
    path = write(tmp_path, ".tar", {"a": b"1", "a/b": b"2"})
    with says(f"{path}: 'a/b' is there twice, or both a file and a folder: {FRESH}"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encrypted_zip_is_refused(tmp_path, refuses):
    path = write(tmp_path, ".zip", {"a.txt": b"1"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    refuses(path, f"{path}: 'a.txt' is encrypted: unpack it with its password, and give the folder")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_would_be_unpacked_without_a_limit_is_refused(method, tmp_path, refuses):
    path = write_zip(tmp_path / "a.zip", ("a.txt", b"1"), compression=method)
    refuses(
        path,
        f"{path}: 'a.txt' is packed by method {method}, allowed are 0 and 8 (stored, deflated): unpack it with another "
        "program, and give the folder",
    )


@pytest.mark.parametrize("suffix", [".zip", *MODES])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_damaged(suffix, share, tmp_path):
    path = write(tmp_path, suffix, {**CONTENT, "last.txt": b"7 8 9\n" * 50_000})
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw)) // 512 * 512])
    for action in (read, lambda path: extract(path, tmp_path / "out")):
        with pytest.raises(UserError, match=r"made[.a-z0-9]*: it is damaged \(.+\): get a fresh copy from its source$"):
            action(path)
    assert not (tmp_path / "out").exists()


def test_a_tar_cut_between_two_members_is_damaged(tmp_path, refuses):
    path = write(tmp_path, ".tar", {"a.txt": b"1" * 512, "b.txt": b"2"})
    path.write_bytes(path.read_bytes()[:1024])
    refuses(path, f"{path}: it is damaged (it ends before its last member does): {FRESH}")


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2"])
def test_a_wrong_checksum_at_the_end_is_damage(suffix, tmp_path):
    path = write(tmp_path, suffix)
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UserError, match="it is damaged"):
        files_of(path, (".nothing",))


def test_compressed_streams_may_be_joined_and_padded(tmp_path):
    write(tmp_path, ".tar")
    raw = (tmp_path / "made.tar").read_bytes()
    half = len(raw) // 2
    for suffix, pack, padding in (
        (".xz", lzma.compress, b"\0" * 8),
        (".gz", gzip.compress, b""),
        (".bz2", bz2.compress, b""),
    ):
        path = tmp_path / f"joined.tar{suffix}"
        path.write_bytes(pack(raw[:half]) + padding + pack(raw[half:]) + padding)
        assert read(path) == CONTENT


def bomb_text(path, allowed=FREE_BYTES):
    return (
        f"{path}: it unpacks to more than {allowed:,} bytes (100 times its own size, 67,108,864 for small ones, "
        "34,359,738,368 for large ones): if it is no bomb, unpack it, and give the folder"
    )


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_a_bomb_in_a_tar_is_stopped(suffix, tmp_path, refuses):
    size, path = 2**30, tmp_path / f"bomb.tar{suffix}"
    pack = {
        ".gz": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
        ".xz": lzma.LZMACompressor,
        ".bz2": bz2.BZ2Compressor,
    }[suffix]()
    header = member("zeros.txt")[0]
    header.size = size
    with path.open("wb") as file:
        file.write(pack.compress(header.tobuf()))
        for _ in range(65):  # the rest is claimed; it is stopped before
            file.write(pack.compress(bytes(2**20)))
        file.write(pack.flush())
    assert path.stat().st_size * 100 < FREE_BYTES
    refuses(path, bomb_text(path), peak=FREE_BYTES + 48 * 2**20)


def test_a_bomb_in_members_that_nobody_wants_is_stopped(tmp_path, says):
    path = write(tmp_path, ".tar.gz", {"zeros.bin": bytes(FREE_BYTES), "a.txt": b"1"})
    with says(bomb_text(path)):
        files_of(path, (".txt",))


def test_a_bomb_in_a_zip_is_stopped_by_its_own_claims(tmp_path, refuses):
    path = write_zip(tmp_path / "a.zip", *((f"{i}.txt", bytes(FREE_BYTES // 4)) for i in range(5)))
    refuses(path, bomb_text(path))
    assert len(files_of(path, ("1.txt", "2.txt"))) == 2  # what is not wanted is never unpacked


def test_a_zip_that_claims_less_than_it_holds_gives_no_more_than_it_claims(tmp_path, refuses):
    path = write_zip(tmp_path / "a.zip", ("a.txt", bytes(FREE_BYTES)))
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", raw, raw.index(signature) + offset, 1000)
    path.write_bytes(raw)
    refuses(path, f"{path}: it is damaged (Bad CRC-32 for file 'a.txt'): {FRESH}")


def test_a_zip_that_claims_more_than_it_holds_is_damaged(tmp_path, refuses):
    path = write_zip(tmp_path / "a.zip", ("a.txt", b"1" * 1000))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 2000)
    path.write_bytes(raw)
    refuses(path, f"{path}: it is damaged ('a.txt' does not hold the 2,000 bytes that it claims): {FRESH}")


def test_a_file_beyond_memory_is_refused(tmp_path, refuses):
    path = write_zip(tmp_path / "a.zip", ("a.txt", b"1"))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 2**31 + 1)
    path.write_bytes(raw)
    refuses(path, f"{path}: 'a.txt' has 2,147,483,649 bytes, allowed are 2,147,483,648: unpack it, and give the folder")


def test_bombs_in_one_another_share_one_limit(tmp_path, says):
    inner = write_zip(tmp_path / "inner.zip", ("zeros.txt", bytes(FREE_BYTES)))
    path = write_zip(tmp_path / "a.zip", ("inner.zip", inner.read_bytes()))
    left = FREE_BYTES - inner.stat().st_size
    with says(bomb_text(f"{path}: inner.zip", left)):
        files_of(path, (".txt",))
    with says(bomb_text(f"{path}: inner.zip", left)):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_zips_are_looked_into_once_only(tmp_path):
    path = write(tmp_path, ".zip", {"zeros.txt": b"1"})
    for depth in range(3):
        path = write_zip(tmp_path / f"{depth}.zip", (path.name, path.read_bytes()))
    assert files_of(path, (".txt",)) == {}
    extract(path, tmp_path / "out")
    assert list(below(tmp_path / "out")) == ["1/0.zip"]


def test_a_hundred_thousand_empty_members_are_too_many(tmp_path, refuses):
    packed = io.BytesIO()
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 5, 0)
    for i in range(100_000):
        packed.write(local + b"%05d" % i)
    start = packed.tell()
    for i in range(100_000):
        central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 5, 0, 0, 0, 0, 0, i * 35)
        packed.write(central + b"%05d" % i)
    size = packed.tell() - start
    packed.write(struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 100_000, 100_000, size, start))
    packed.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1))
    packed.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    path = tmp_path / "a.zip"
    path.write_bytes(packed.getvalue())
    refuses(path, f"{path}: it has more than 65,535 members: unpack it, and give the folder")


def test_members_are_counted_in_a_tar_too(tmp_path, monkeypatch, says):
    monkeypatch.setattr("tsimage.archive_limits.MAX_MEMBERS", 3)
    assert len(files_of(write(tmp_path, ".tar"))) == 3
    with says(f"{tmp_path / 'made.tar'}: it has more than 3 members: unpack it, and give the folder"):
        files_of(write(tmp_path, ".tar", {**CONTENT, "d.txt": b"1"}))


def test_a_list_of_members_of_a_gigabyte_is_not_read(tmp_path, says):
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2**30)
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, 2**30, 0, 0))
    with says(
        f"{path}: its list of members has 1,073,741,824 bytes, allowed are 16,777,216: unpack it, and give the folder"
    ):
        files_of(path)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_tar_header_of_a_gigabyte_is_not_read(kind, tmp_path, refuses):
    header = member("x", kind=kind)[0]
    header.size = 2**30
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf() + bytes(2**24)))
    refuses(path, f"{path}: it is damaged (a header claims 1,073,741,824 bytes): {FRESH}")


def test_a_negative_size_is_refused(tmp_path, refuses):
    header = member("x")[0]
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(block) + bytes(10240))
    refuses(path, f"{path}: it is damaged (a header claims -1 bytes): {FRESH}")


def test_a_dictionary_of_xz_beyond_the_limit_is_refused(tmp_path, refuses):
    write(tmp_path, ".tar")
    raw = (tmp_path / "made.tar").read_bytes()
    (tmp_path / "made.tar").unlink()
    path = tmp_path / "made.tar.xz"
    largest = lzma.compress(raw, preset=9)
    path.write_bytes(largest)
    assert read(path) == CONTENT
    block = bytearray(largest)  # the header of the first block follows 12 bytes; its last byte but padding is the size
    length = (block[12] + 1) * 4
    place = block.index(b"\x21\x01", 12) + 2
    assert 2 ** (block[place] // 2 + 12) == 2**26 < MAX_DICTIONARY_BYTES
    block[place] = 36  # 1 GiB
    struct.pack_into("<I", block, 12 + length - 4, zlib.crc32(block[12 : 12 + length - 4]))
    path.write_bytes(block)
    refuses(path, f"{path}: it is damaged (Memory usage limit exceeded): {FRESH}")


def test_an_unreadable_archive_keeps_the_words_of_the_system(tmp_path, monkeypatch):
    path = write(tmp_path, ".tar")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(tarfile, "open", refuse)
    with pytest.raises(PermissionError):
        files_of(path)


def test_a_full_disk_is_said(tmp_path, monkeypatch, says):
    path = write(tmp_path, ".tar")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives._Held, "add", full)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with says(f"{path}: the disk that it is unpacked to is full (what is read goes to '{tmp_path}'): make room there"):
        files_of(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2"]))
def test_mutated_archives_are_read_or_refused(data, suffix, tmp_path):
    path = tmp_path / f"made{suffix}"
    if not path.exists():
        write(tmp_path, suffix, {"a.txt": b"1 2\n" * 40, "b/c.txt": bytes(range(256))})
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    mutated = tmp_path / f"mutated{suffix}"
    mutated.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    with suppress(UserError):
        assert all(isinstance(content, bytes) for content in read(mutated).values())


def test_the_original_of_hapt_is_within_the_limits(data_dir):
    path = data_dir / "hapt" / "hapt-original.tar.xz"
    files = files_of(path, ("/labels.txt", "exp01_user01.txt"))
    assert sorted(name.rpartition("/")[2] for name in files) == [
        "acc_exp01_user01.txt",
        "gyro_exp01_user01.txt",
        "labels.txt",
    ]
    name = next(name for name in files if "acc_" in name)
    sample = (data_dir / "hapt" / "original-sample" / "acc_exp01_user01.head4000.txt").read_bytes()
    assert files[name]().startswith(sample)


def test_a_set_inside_an_archive_of_many(data_dir):
    files = files_of(data_dir / "ucr20" / "ucr20-tsv-original.tar.xz" / "ucr" / "GunPoint", (".tsv",))
    for part in ("TRAIN", "TEST"):
        sample = data_dir / "ucr20" / "original-sample" / f"GunPoint_{part}.tsv"
        assert files[f"GunPoint_{part}.tsv"]() == sample.read_bytes()


def test_a_member_of_a_zip_that_lies_before_its_beginning_is_damage(tmp_path):
    path = write_zip(tmp_path / "a.zip", ("a.txt", b"1"))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\5\6")
    content[at + 16 : at + 20] = struct.pack("<I", 2**31)  # offset of the directory
    path.write_bytes(content)
    with pytest.raises(UserError, match="it is damaged"):
        read(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.xz"])
def test_names_are_those_of_the_files(suffix, tmp_path, monkeypatch):
    path = write(tmp_path, suffix)
    for suffixes in ((), (".txt",), (".csv",), (".dat",)):
        assert names_of(path, suffixes) == list(files_of(path, suffixes))
    assert names_of(path / "set", (".txt",)) == list(files_of(path / "set", (".txt",)))
    if suffix != ".zip":
        monkeypatch.setattr(archives, "tar_members", None)  # it is not read again,
        assert names_of(path) == sorted(CONTENT)
        monkeypatch.undo()
        write_tar(path, member("other.txt"), suffix=suffix)  # unless it is another
        os.utime(path, ns=(1, 1))
        assert names_of(path) == ["other.txt"]


def test_names_of_a_bomb_are_refused_each_time(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", member("a.txt", bytes(FREE_BYTES + 1)), suffix=".tar.gz")
    for _ in range(2):
        with pytest.raises(UserError, match="unpacks to more than"):
            names_of(path)
    assert names_of(tmp_path, (".gz",)) == ["a.tar.gz"]


def test_a_member_of_a_zip_without_a_name_is_refused(tmp_path, says):
    path = write_zip(tmp_path / "a.zip", ("walk.csv", b"1\n"))
    path.write_bytes(path.read_bytes().replace(b"walk.csv", b"\0alk.csv"))
    with pytest.raises(UserError, match="is not allowed in an archive"):
        files_of(path, ())
