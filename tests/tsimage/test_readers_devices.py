import importlib.util
import sys
import tracemalloc

import numpy as np
import pytest

from experiments.device_writers import bin_header, bin_page, bin_pages, cwa_block, cwa_blocks, cwa_header
from tsimage.cutting import Segment, cut
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import ReadOptions, device_files
from tsimage.readers.device_files import copy_cwa
from tsimage.readers.devices import READER

needs_decoder = pytest.mark.skipif(
    importlib.util.find_spec("skdh") is None, reason="needs scikit-digital-health: pip install 'tsimage[devices]'"
)


@pytest.fixture(scope="module")
def raw():
    """Four pages or fifteen blocks of whole numbers."""
    return np.random.default_rng(5).integers(-500, 500, (1200, 3))


@pytest.fixture
def read(tmp_path):
    def _read(name, content, labels=None, **options):
        path = tmp_path / name
        path.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
        if labels is not None:
            path.with_suffix(".labels.csv").write_text(labels)
        assert READER.accepts(path)
        return READER.read(path, ReadOptions(**options))

    return _read


@needs_decoder
class TestGeneActiv:
    def test_values_and_what_is_said(self, read, raw):
        found = read("walk.bin", bin_header(4) + "".join(bin_pages(raw)))
        (recording,) = found.recordings
        np.testing.assert_array_equal(recording.values, (raw.T / 256).astype(np.float32))
        assert (recording.id, recording.subject, recording.rate_hz) == ("walk", "0042", 50)
        assert (recording.channels, recording.units) == (("acc-x", "acc-y", "acc-z"), ("g", "g", "g"))
        assert (recording.segments, recording.breaks, found.class_names) == ((), (), ())
        stated = read("walk.bin", bin_header(4) + "".join(bin_pages(raw)), units="m/s^2").recordings[0]
        assert stated.units == ("m/s^2",) * 3
        assert "units" in READER.options
        assert str(found.report) == (
            "Read 1,200 rows: kept 1,200, rejected 0\n"
            "walk.bin has no labels: windows need walk.labels.csv beside it, with the columns start, stop and label"
        )

    def test_carriage_returns_and_sequence_numbers_do_not_matter(self, read, raw):
        pages = [bin_page(i, raw[300 * i : 300 * (i + 1)], sequence=10**8 + i) for i in range(4)]
        found = read("walk.bin", (bin_header(4) + "".join(pages)).replace("\n", "\r\n").removesuffix("\r\n"))
        np.testing.assert_array_equal(found.recordings[0].values, (raw.T / 256).astype(np.float32))
        assert found.report.faults == ()

    @pytest.mark.parametrize(
        ("damage", "kind"),
        [
            (lambda page: page.replace("Sequence Number:1", "Sequence Number:-1"), "malformed page"),
            (lambda page: page.replace("Page Time:2019", "Page Time:20x9"), "malformed page"),
            (lambda page: page.replace("Temperature:", "Temperament:"), "malformed page"),
            (lambda page: page[:-100] + "\n", "malformed page"),
            (lambda page: page[:-10] + "G" + page[-9:], "malformed page"),
            (lambda page: page[:-1] + "0" * 100_000 + "\n", "malformed page"),
            (lambda page: page.replace("Unassigned:\n", ""), "malformed page"),
            (lambda page: page.replace("Unassigned:\n", "\n" * 50), "malformed page"),
            (lambda page: page.replace(":50.0", ":100.0"), "page of another rate"),
        ],
    )
    def test_a_damaged_page_is_rejected_and_is_a_break(self, read, raw, damage, kind):
        pages = bin_pages(raw)
        pages[1] = damage(pages[1])
        found = read("walk.bin", bin_header(4) + "".join(pages))
        (recording,) = found.recordings
        np.testing.assert_array_equal(recording.values, (np.delete(raw, slice(300, 600), 0).T / 256).astype(np.float32))
        assert recording.breaks == (300,)
        assert found.report.counts("rejected") == {kind: 300}
        (fault,) = [fault for fault in found.report.faults if fault.treatment == "rejected"]
        assert (fault.lines[0], fault.lines[-1], fault.example) == (300, 599, "page 1")
        assert (found.report.rows_read, found.report.rows_kept) == (1200, 900)

    def test_a_file_that_ends_early(self, read, raw):
        found = read("walk.bin", (bin_header(9) + "".join(bin_pages(raw)))[:-2000])
        assert found.report.counts("rejected") == {"malformed page": 300}
        assert found.report.notes[0] == "walk.bin: the header announces 9 pages, 4 are there"
        assert found.recordings[0].values.shape == (3, 900)

    def test_a_page_that_is_missing_is_a_gap(self, read, raw):
        pages = bin_pages(raw)
        found = read("walk.bin", bin_header(3) + "".join(pages[:1] + pages[2:]))
        assert found.recordings[0].breaks == (300,)
        assert found.report.counts() == {"gap": 1}

    @pytest.mark.parametrize(
        "header",
        [
            "Device Identity\n",
            "Device Identity\n" * 2000,
            bin_header(4).replace("Calibration Data", "Calibration"),
            bin_header(4).replace("x gain:25600", "x gain:0"),
            bin_header(4).replace("Volts:42", "Volts:0"),
            bin_header(4).replace("Measurement Frequency:50", "Measurement Frequency:"),
            bin_header(4).replace("Subject Notes:", "Subject Notes:" + "x" * 300),
            bin_header(4).replace("Subject Notes:", "Subject Notes:\nCalibration Data"),
            bin_header(4).replace("Number of Pages:4", "Number of Pages:many"),
        ],
    )
    def test_a_damaged_header(self, read, raw, says, tmp_path, header):
        with says(
            f"{tmp_path / 'walk.bin'}: not a GENEActiv file: its header needs 'Device Identity', the frequency in line 20, "
            "the calibration and the number of pages: get a fresh copy from the device"
        ):
            read("walk.bin", header + "".join(bin_pages(raw)))

    def test_no_sound_page(self, read, says, tmp_path):
        with says(f"{tmp_path / 'walk.bin'}: none of 0 pages is sound: get a fresh copy from the device"):
            read("walk.bin", bin_header(4))

    def test_strict(self, read, raw, says):
        with says(
            "walk.bin, line 900: malformed page ('page 3'): mend it, or pass faults 'reject' to leave out such rows and "
            "count them"
        ):
            read("walk.bin", (bin_header(4) + "".join(bin_pages(raw)))[:-2000], faults="raise")


@needs_decoder
class TestAxivity:
    def test_unpacked(self, read, raw):
        found = read("walk.cwa", cwa_header() + b"".join(cwa_blocks(raw)))
        (recording,) = found.recordings
        np.testing.assert_array_equal(recording.values, (raw.T / 256).astype(np.float32))
        assert (recording.id, recording.subject, recording.rate_hz) == ("walk", "walk", 100)
        assert (recording.channels, recording.units) == (("acc-x", "acc-y", "acc-z"), ("g", "g", "g"))
        assert recording.breaks == ()
        assert (found.report.rows_read, found.report.faults) == (1200, ())

    def test_magnetometer(self, read, raw):
        nine = np.tile(raw, (3, 1)).reshape(-1, 9).astype("<i2")
        blocks = [cwa_block(i, nine[26 * i : 26 * (i + 1)], 0x92, tail=7) for i in range(15)]
        (recording,) = read("walk.cwa", cwa_header(config=0x13) + b"".join(blocks)).recordings
        assert recording.channels[6:] == ("mag-x", "mag-y", "mag-z")
        assert recording.units[6:] == ("uT",) * 3
        np.testing.assert_array_equal(recording.values[6:], nine[: 15 * 26, 6:].T / 16)

    def test_packed(self, read, raw):
        words = raw.astype(np.int64) & 0x3FF
        packed = (words[:, 0] | words[:, 1] << 10 | words[:, 2] << 20).astype("<u4")
        blocks = [cwa_block(i, packed[120 * i : 120 * (i + 1)], 0x30) for i in range(10)]
        (recording,) = read("walk.cwa", cwa_header() + b"".join(blocks)).recordings
        np.testing.assert_array_equal(recording.values, (raw.T / 256).astype(np.float32))

    def test_gyroscope(self, read, raw):
        six = raw.reshape(-1, 6).astype("<i2")
        scale = (2 << 10) | (1 << 13)  # 8000 / 2^2 deg/s; 2^(8 + 1) a g
        blocks = [cwa_block(i, six[40 * i : 40 * (i + 1)], 0x62, scale) for i in range(15)]
        (recording,) = read("walk.cwa", cwa_header(config=3) + b"".join(blocks)).recordings
        assert recording.channels == ("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z")
        assert recording.units == ("g", "g", "g", "deg/s", "deg/s", "deg/s")
        expected = np.concatenate([six[:, 3:] / 512, six[:, :3] * (2000 / 32768)], axis=1)
        np.testing.assert_allclose(recording.values, expected.T, rtol=1e-6)

    @pytest.mark.parametrize(
        ("block", "kind"),
        [
            (bytes(512), "no data block"),
            (b"\xff" * 512, "no data block"),
            (lambda good: good[:100] + bytes([good[100] ^ 1]) + good[101:], "wrong checksum"),
            (lambda good: cwa_block(5, np.zeros(1, "<i2"), 0x62), "other layout"),
            (lambda good: cwa_block(5, np.zeros(1, "<i2"), 0x30), "other layout than the first"),
            (lambda good: cwa_block(5, np.zeros(1, "<i2"), 0x32, count=79), "incomplete block"),
            (lambda good: cwa_block(5, np.zeros(1, "<i2"), 0x32, time=0), "no time"),
        ],
    )
    def test_a_damaged_block_is_rejected_and_is_a_break(self, read, raw, block, kind):
        blocks = cwa_blocks(raw)
        blocks[5] = block if isinstance(block, bytes) else block(blocks[5])
        found = read("walk.cwa", cwa_header() + b"".join(blocks))
        (recording,) = found.recordings
        np.testing.assert_array_equal(recording.values, (np.delete(raw, slice(400, 480), 0).T / 256).astype(np.float32))
        assert 400 in recording.breaks
        assert found.report.counts("rejected") == {kind: 80}
        (fault,) = [fault for fault in found.report.faults if fault.treatment == "rejected"]
        assert (fault.lines[0], fault.lines[-1], fault.example) == (400, 479, "block 5")

    def test_events_and_a_range_of_2_g_do_not_matter(self, read, raw):
        blocks = [
            cwa_block(i, raw[80 * i : 80 * (i + 1)].astype("<i2"), 0x32, events=0xFF, rate=0xCA) for i in range(15)
        ]
        found = read("walk.cwa", cwa_header() + b"".join(blocks))
        np.testing.assert_array_equal(found.recordings[0].values, (raw.T / 256).astype(np.float32))
        assert found.report.faults == ()

    def test_sequence_numbers_do_not_matter(self, read, raw):
        blocks = [
            cwa_block(i, raw[80 * i : 80 * (i + 1)].astype("<i2"), 0x32, sequence=2**31 + 7 * i) for i in range(15)
        ]
        found = read("walk.cwa", cwa_header() + b"".join(blocks))
        np.testing.assert_array_equal(found.recordings[0].values, (raw.T / 256).astype(np.float32))

    def test_a_file_that_ends_early(self, read, raw):
        found = read("walk.cwa", (cwa_header() + b"".join(cwa_blocks(raw)))[:-100])
        assert found.report.counts() == {"cut off at the end of the file": 80}
        assert (found.report.rows_read, found.recordings[0].values.shape) == (1200, (3, 1120))

    def test_no_axivity_file(self, read, says, tmp_path):
        path = tmp_path / "walk.cwa"
        with says(f"{path}: not an Axivity file: it must begin with a header 'MD' of 1,024 bytes"):
            read("walk.cwa", b"MD" + bytes(100))
        with says(f"{path}: none of 2 blocks is sound: get a fresh copy from the device"):
            read("walk.cwa", cwa_header() + bytes(1024))


@needs_decoder
class TestLabels:
    """Four pages of 6 s at 50 Hz: samples 0 to 1199."""

    @pytest.fixture
    def labelled(self, read, raw):
        return lambda table: read("walk.bin", bin_header(4) + "".join(bin_pages(raw)), labels=table)

    def test_seconds(self, labelled):
        found = labelled("start,stop,label\n10,20,walk\n0,2.01, sit\n30,40,run\n")
        assert found.recordings[0].segments == (
            Segment(start=0, stop=101, label="sit"),
            Segment(start=500, stop=1000, label="walk"),
        )
        assert found.class_names == ("sit", "walk")
        assert list(found.report.rows()) == [("walk.labels.csv", 4, "noted", "label without samples")]
        windows = cut(found.recordings, "2s", class_names=found.class_names)
        assert windows.ids.tolist()[:2] == ["walk:0-100", "walk:500-600"]
        assert len(windows) == 6

    def test_dates_of_the_device(self, labelled):
        found = labelled("label,stop,start\nwalk,2019-05-21 16:17:03,2019-05-21T16:16:53\n")
        assert found.recordings[0].segments == (Segment(start=500, stop=1000, label="walk"),)

    def test_a_stretch_may_begin_before_nanoseconds_count(self, labelled):
        found = labelled("label,stop,start\nwalk,2019-05-21 16:17:03,1019-05-21T16:16:53\n")
        assert found.recordings[0].segments == (Segment(start=0, stop=1000, label="walk"),)

    def test_a_break_ends_a_stretch(self, read, raw):
        pages = bin_pages(raw)
        pages[1] = pages[1].replace("Unassigned", "")
        pages[2] = pages[2][:-9] + "\n"
        found = read("walk.bin", bin_header(4) + "".join(pages), labels="start,stop,label\n1,23,walk\n")
        assert found.report.counts("rejected") == {"malformed page": 300}
        assert [(s.start, s.stop) for s in found.recordings[0].segments] == [(50, 600), (600, 850)]

    @pytest.mark.parametrize(
        ("table", "error"),
        [
            ("start,end,label\n1,2,a\n", "column stop is missing: it needs start, stop and label"),
            ("start,stop,label\n", "there are no stretches in it: fill it or remove it"),
            ("start,stop,label\n1,2,\n", "line 2: the label is empty: fill it or remove the line"),
            ("start,stop,label\n\n1,2,a\n3,4,\n", "line 4: the label is empty: fill it or remove the line"),
            ("start,stop,label\n1,2,a\n1,2,a" + ",2" * 5000, "line 3: it has 5003 fields under 3 names: mend it"),
            ("start,stop,stop,label\n1,2,3,a\n", "column stop is missing: it needs start, stop and label"),
            ("", "column start and stop and label is missing: it needs start, stop and label"),
            ("start,stop,label\n2,2,a\n", "line 2: stop must be later than start: mend it"),
            (
                "start,stop,label\n5,9,a\n1,6,b\n",
                "line 2: the stretch begins before that of line 3 ends: a sample has one label",
            ),
            (
                "start,stop,label\n1,2,a\n3,soon,b\n",
                "line 3: stop is 'soon': give seconds from the start, or an ISO 8601 date of the device's clock without a "
                "time zone",
            ),
            (
                "start,stop,label\n2019-05-21T16:16:53Z,9e9,a\n",
                "line 2: start is '2019-05-21T16:16:53Z': give seconds from the start, or an ISO 8601 date of the device's "
                "clock without a time zone",
            ),
        ],
    )
    def test_errors(self, labelled, says, tmp_path, table, error):
        where = ", " if error.startswith("line") else ": "
        with says(f"{tmp_path / 'walk.labels.csv'}{where}{error}"):
            labelled(table)


@needs_decoder
def test_folder(tmp_path, raw):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.bin").write_text(bin_header(4) + "".join(bin_pages(raw)))
    (tmp_path / "two.BIN").write_text(bin_header(4, subject=" ") + "".join(bin_pages(raw)))
    (tmp_path / "other.bin").write_text("not of a device")
    assert READER.accepts(tmp_path)
    recordings = READER.read(tmp_path, ReadOptions()).recordings
    assert [(r.id, r.subject) for r in recordings] == [("a/one", "0042"), ("two", "two")]


@needs_decoder
@pytest.mark.parametrize("suffix", [".bin", ".cwa"])
def test_mutated_files_are_read_or_refused(tmp_path, raw, suffix):
    sound = (bin_header(4) + "".join(bin_pages(raw))).encode("latin-1")
    if suffix == ".cwa":
        sound = cwa_header() + b"".join(cwa_blocks(raw))
    rng, errors = np.random.default_rng(3), []
    for _ in range(40):
        content = np.frombuffer(sound, np.uint8).copy()
        places = rng.integers(0, len(content), 4)
        content[places] = rng.integers(0, 256, 4)
        path = tmp_path / f"walk{suffix}"
        path.write_bytes(content.tobytes()[: rng.integers(len(content) // 2, len(content) + 1)])
        try:
            found = READER.read(path, ReadOptions())
        except UserError as error:
            errors.append(str(error))
            continue
        assert found.report.rows_kept == found.recordings[0].values.shape[1]
        assert np.isfinite(found.recordings[0].values).all()
    assert len(errors) < 20
    assert not any("\n" in error for error in errors)


def test_without_the_decoder(tmp_path, raw, says, monkeypatch):
    path = tmp_path / "walk.bin"
    path.write_text(bin_header(4) + "".join(bin_pages(raw)))
    monkeypatch.setitem(sys.modules, "skdh.io", None)
    with says(
        f"{path}: GENEActiv and Axivity files are read by scikit-digital-health, which is not installed: pip install "
        "'tsimage[devices]'"
    ):
        READER.read(path, ReadOptions())


def test_other_files(tmp_path, says):
    path = tmp_path / "firmware.bin"
    path.write_bytes(b"\x7fELF")
    assert not READER.accepts(path)
    assert not READER.accepts(tmp_path)
    assert not READER.accepts(tmp_path / "absent.bin")
    with says(f"{tmp_path}: no .bin or .cwa file of a GENEActiv or Axivity device is there: give the path of one"):
        READER.read(tmp_path, ReadOptions())
    path = tmp_path / "table.csv"
    path.write_text("x\n1\n")
    with says(f"{path}: '.csv' is no device file: allowed are .bin (GENEActiv) and .cwa (Axivity)"):
        READER.read(path, ReadOptions())


def test_an_axivity_file_takes_no_more_memory_than_it_has_bytes(tmp_path, raw, monkeypatch):
    path = tmp_path / "walk.cwa"
    path.write_bytes(cwa_header() + b"".join(cwa_blocks(raw)))
    tracemalloc.start()
    copy_cwa(path, "walk.cwa", tmp_path / "copy.cwa", Ledger())
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    monkeypatch.setattr(device_files, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match=r"longer than 1,000 bytes, which the decoder cannot read: cut it in parts"):
        copy_cwa(path, "walk.cwa", tmp_path / "copy.cwa", Ledger())
