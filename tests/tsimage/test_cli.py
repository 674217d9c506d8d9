import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

import tsimage
from tsimage.catalogue import ENTRIES
from tsimage.cli import main
from tsimage.fields import FIELDS


@pytest.fixture
def fails(capsys):
    """Run a command that must exit with 2, say one sentence on stderr and nothing else; return the sentence."""

    def _fails(*args):
        with pytest.raises(SystemExit) as caught:
            main(list(args))
        captured = capsys.readouterr()
        assert caught.value.code == 2
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("tsimage: ")
        return captured.err.removeprefix("tsimage: ").removesuffix("\n")

    return _fails


@pytest.fixture
def csv(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        f"{t / 10:g},{a:.4f},{b:.4f},{'walk' if t < 43 else 'sit'}" for t, (a, b) in enumerate(rng.normal(size=(80, 2)))
    ]
    path = tmp_path / "phone.csv"
    path.write_text("\n".join(["time,ax,ay,activity", *rows]) + "\n")
    return path


def test_convert_writes_a_store_and_says_what_it_did(tmp_path, capsys, basic_motions):
    output = tmp_path / "out"
    main(["convert", "basic-motions", str(output), "--stack", "gasf+mtf", "--size", "8", "--channels", "acc*"])
    store = tsimage.open_store(output)
    chosen = basic_motions.keep_channels(["acc*"])
    imager = tsimage.Imager(stack="gasf+mtf", size=8)
    np.testing.assert_array_equal(store.images, imager(chosen))
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"'{output}' will take about 13\d\.\d kB; '{tmp_path}' has [\d.]+ [MG]B free", lines.pop(3))
    assert lines == [
        str(chosen),
        "Read 80 rows: kept 80, rejected 0",
        "acc-x, acc-y, acc-z: in m/s^2 as stated (never at rest, or without gravity, so nothing tells otherwise)",
        *imager.notes(chosen),
        str(store),
    ]


def test_convert_of_a_table_takes_its_options_and_reports_the_cut(tmp_path, capsys, csv):
    flags = (
        "--stack gadf --size 5 --scaling fixed:g=4 --segmentation array_split --order scale-then-paa "
        "--channels ax ay --label activity --time time --units g --window 1s --overlap 0.5"
    )
    main(["convert", str(csv), str(tmp_path / "out"), *flags.split()])
    store = tsimage.open_store(tmp_path / "out")
    options = {
        "channels": ("ax", "ay"),
        "label": "activity",
        "time": "time",
        "units": "g",
        "window": "1s",
        "overlap": 0.5,
    }
    windows = tsimage.load(csv, **options)
    imager = tsimage.Imager(
        stack="gadf", size=5, scaling="fixed:g=4", segmentation="array_split", order="scale-then-paa"
    )
    np.testing.assert_array_equal(store.images, imager(windows))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Read 80 rows: kept 80, rejected 0"
    assert str(windows.cut_report) in lines


def test_convert_overwrites_only_when_told(tmp_path, fails, capsys):
    arguments = ["convert", "basic-motions", str(tmp_path / "out"), "--stack", "mtf", "--size", "4"]
    main(arguments)
    assert "clipped" not in capsys.readouterr().out
    assert fails(*arguments) == (
        f"output '{tmp_path / 'out'}' exists already: choose another name (option overwrite replaces it)"
    )
    main([*arguments[:-1], "5", "--overwrite"])
    assert tsimage.open_store(tmp_path / "out").images.shape[-1] == 5


def test_convert_keeps_constant_windows_that_were_asked_for(tmp_path, capsys, make_windows):
    values = make_windows().values.copy()
    values[1, 0] = 0
    make_windows(values=values).save(tmp_path / "w.npz")
    main(["convert", str(tmp_path / "w.npz"), str(tmp_path / "out"), "--size", "4", "--constant", "flag"])
    assert "1 windows with a constant channel were flagged" in capsys.readouterr().out.splitlines()
    assert tsimage.open_store(tmp_path / "out").table["constant_channels"].tolist() == ["", "acc-x", "", "", "", ""]


@pytest.mark.parametrize(("kind", "name"), [("png", "out"), ("npz", "out.npz"), ("zarr", "out")])
def test_convert_writes_files_for_other_programs(tmp_path, capsys, kind, name):
    output = tmp_path / name
    arguments = ["basic-motions", str(output), "--size", "8", "--channels", "acc*", "--output-format", kind]
    main(["convert", *arguments])
    assert output.exists()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith(f"'{output}' will take about ")
    assert lines[-1] == f"wrote {output}: 80 windows as {kind}"


def test_verify_says_what_is_right_and_names_what_is_not(tmp_path, capsys):
    output = tmp_path / "out"
    main(["convert", "basic-motions", str(output), "--size", "8"])
    capsys.readouterr()
    main(["verify", str(output)])
    out, err = capsys.readouterr()
    assert out.startswith(f"verified: '{output}' is as it was written: 80 images in 1 chunks, 4 files, ")
    assert err == ""
    content = bytearray((output / "images.npy").read_bytes())
    content[1000] ^= 1
    (output / "images.npy").write_bytes(content)
    with pytest.raises(SystemExit) as caught:
        main(["verify", str(output)])
    assert caught.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"tsimage: '{output}' is damaged in 1 place: images.npy, chunk 0 of 1 (windows 0 to 79, bytes 128 to "
        f"{len(content) - 1:,}) is not as written: convert it anew\n"
    )


def test_verify_of_what_is_no_store_is_a_users_mistake(tmp_path, fails):
    assert fails("verify", str(tmp_path)) == (
        f"'{tmp_path}' is no image store: there is no manifest.json; make one with tsimage convert"
    )


INTERRUPTED = """
import os, signal, sys
from tsimage import chunks, cli
from tsimage.imager import Imager

chunks.CHUNK_BYTES = 30 * 6 * 8 * 8 * 4
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests with it ignored
stop, count, paint = int(sys.argv.pop(1)), [0], Imager.__call__

def painting(*args, **kwargs):
    count[0] += 1
    if count[0] == stop:
        os.kill(os.getpid(), signal.SIGINT)
    return paint(*args, **kwargs)

Imager.__call__ = painting
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_an_interrupted_conversion_says_so_and_the_same_command_continues(repository, tmp_path):
    def convert(stop):
        command = [sys.executable, "-c", INTERRUPTED, str(stop), "convert", "basic-motions", "out", "--size", "8"]
        environment = os.environ | {"PYTHONPATH": str(repository)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    stopped = convert(3)
    assert (stopped.returncode, stopped.stderr) == (130, "tsimage: interrupted\n")
    assert stopped.stdout.splitlines()[-1] == (
        "What is finished is kept in '.out.partial': the same command continues from there"
    )
    assert [p.name for p in tmp_path.iterdir()] == [".out.partial"]
    continued = convert(0)
    assert (continued.returncode, continued.stderr) == (0, "")
    assert re.search(
        r"^Continuing an unfinished conversion: [12] of 3 chunks are done$", continued.stdout, re.MULTILINE
    )
    np.testing.assert_array_equal(tsimage.open_store(tmp_path / "out").images, tsimage.Imager(size=8)(tsimage.load()))


def test_convert_of_real_hapt(tmp_path, hapt, capsys, data_dir):
    arguments = ["--stack", "mtf(bins=2)", "--size", "4", "--classes", "*_TO_*", "--channels", "acc-x"]
    main(["convert", "hapt", str(tmp_path / "out"), *arguments])
    store = tsimage.open_store(tmp_path / "out")
    chosen = hapt.keep_classes(["*_TO_*"]).keep_channels(["acc-x"])
    np.testing.assert_array_equal(store.images, tsimage.Imager(stack="mtf(bins=2)", size=4)(chosen))
    assert store.table["split"].tolist() == chosen.split.tolist()
    assert str(hapt.cut_report) in capsys.readouterr().out.splitlines()


def test_fields_are_listed_with_their_options(capsys):
    main(["fields"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(FIELDS)
    assert "mtf: Markov transition field, W[bin_i, bin_j] (bins=8, strategy=quantile, fit=window)" in lines


@pytest.mark.parametrize("view", [[], ["--pick", "test-03"], ["--per-class", "2"]], ids=["first", "by-id", "per-class"])
def test_show_writes_a_picture(tmp_path, capsys, view):
    output = tmp_path / "deep" / "picture.png"
    main(["show", "basic-motions", str(output), "--size", "8", "--channels", "acc*", *view])
    picture = imread(output)
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 20
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {output}"


def test_show_draws_the_window_that_was_picked(tmp_path):
    for name, pick in (("a", "0"), ("b", "1"), ("c", "train-01")):
        main(
            [
                "show",
                "basic-motions",
                str(tmp_path / f"{name}.png"),
                "--size",
                "8",
                "--channels",
                "acc-x",
                "--pick",
                pick,
            ]
        )
    first, second, third = (imread(tmp_path / f"{name}.png") for name in "abc")
    assert first.shape != second.shape or (first != second).any()
    np.testing.assert_array_equal(second, third)


@pytest.mark.parametrize("view", [[], ["--per-class", "2"]])
def test_show_paints_in_the_colours_that_were_chosen(tmp_path, view):
    for name in ("gray", "viridis"):
        output = tmp_path / f"{name}.png"
        main(["show", "basic-motions", str(output), "--size", "8", "--channels", "acc*", "--colours", name, *view])
    # a picture is grey but for the lines of its series
    grey, coloured = (imread(tmp_path / f"{name}.png")[..., :3] for name in ("gray", "viridis"))
    assert grey.shape == coloured.shape
    spread = [np.ptp(picture, axis=-1).mean() for picture in (grey, coloured)]
    assert spread[1] > 10 * spread[0]


def test_datasets_lists_the_catalogue(capsys, data_dir):
    main(["datasets"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == list(ENTRIES)
    first = lines.index(next(line for line in lines if line.startswith("hapt:")))
    hapt = " ".join(lines[first : first + 4])
    for fact in ("50 Hz", "30 people", "12 classes", "waist", "licence: ", "Reyes-Ortiz", f"is in '{data_dir}"):
        assert fact in hapt


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["basic-motion", "OUT"],
            "unknown data set or path 'basic-motion': did you mean 'basic-motions'? Give the name of a data set "
            "(tsimage datasets lists them) or the path of a file or folder that exists",
        ),
        (
            ["basic-motions", "OUT", "--size", "101"],
            "image size 101 does not fit windows of 100 samples: PAA never upsamples; "
            "choose a size from 1 to 100 or cut longer windows",
        ),
        (
            ["basic-motions", "OUT", "--window", "50"],
            "data set 'basic-motions' cannot use the option window: leave it out; "
            "allowed here: channels, classes, constant, format, without",
        ),
        (
            ["basic-motions", "OUT", "--channels", "acc-q"],
            "unknown channel 'acc-q': did you mean 'acc-x'? Valid: acc-x, acc-y, acc-z, gyro-x, gyro-y, gyro-z",
        ),
        (
            ["basic-motions", "OUT", "--scaling", "fixd"],
            "unknown scaling 'fixd': did you mean 'fixed'? Valid: fixed, window, fixed:UNIT=HALFWIDTH,...",
        ),
        (
            ["basic-motions", "OUT", "--stack", "gafs"],
            "unknown image 'gafs': did you mean 'gasf'? Valid: gasf, gadf, mtf, rp, jrp, qgaf, pi, spectrogram, scalogram, or several joined by +, as gasf+gadf+mtf",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_exit_2_and_nothing_written(tmp_path, fails, arguments, sentence):
    output = tmp_path / "deep" / "out"
    assert fails("convert", *[str(output) if a == "OUT" else a for a in arguments]) == sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("a.jpg", [], "output '{output}' is not allowed: the name of the picture must end in .png"),
        ("a.png", ["--per-class", "0"], "per-class 0 is not allowed: show at least 1 window of each class"),
        ("a.png", ["--pick", "80"], "there is no window 80: basic-motions has 80, counted from 0"),
        (
            "a.png",
            ["--pick", "train-1"],
            "unknown window 'train-1': did you mean 'train-01'? Valid: train-00, train-01, train-02, ..., or a position "
            "from 0 to 79",
        ),
        (
            "a.png",
            ["--colours", "virdis"],
            "unknown colour map 'virdis': did you mean 'viridis'? Valid: viridis, cividis, magma, inferno, RdBu_r, PuOr_r, "
            "gray, or another one of matplotlib",
        ),
    ],
)
def test_a_mistake_in_show_is_one_sentence_and_nothing_written(tmp_path, fails, name, options, sentence):
    output = tmp_path / "deep" / name
    assert fails("show", "basic-motions", str(output), *options) == sentence.format(output=output)
    assert list(tmp_path.iterdir()) == []


def test_malformed_files_make_one_line_too(hapt_folder, tmp_path, fails):
    (hapt_folder / "Raw-Data" / "acc_exp01_user01.txt").write_text("1 2 3\n1 2 3 4\n")
    assert "acc_exp01_user01.txt" in fails("convert", str(hapt_folder), str(tmp_path / "out"))
    (tmp_path / "set.zip").write_bytes(b"no archive")
    assert "set.zip" in fails("convert", str(tmp_path / "set.zip"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(tsimage.UserError, match="unknown data set"):
        main(["convert", "nothing-here", str(tmp_path / "out"), "--debug"])
    with pytest.raises(tsimage.UserError, match="there is no window 99"):
        main(["show", "basic-motions", str(tmp_path / "a.png"), "--pick", "99", "--debug"])


def test_an_unknown_option_exits_with_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["convert", "basic-motions", str(tmp_path / "out"), "--sise", "8"])
    assert caught.value.code == 2
    assert "--sise" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def run(repository, folder, *args):
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-W", "error", "-c", "from tsimage.cli import main; main()", *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_installed_command_end_to_end(repository, tmp_path):
    made = run(repository, tmp_path, "convert", "basic-motions", "out", "--size", "8")
    assert (made.returncode, made.stderr) == (0, "")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["shape"] == [80, 6, 8, 8]
    assert made.stdout.splitlines()[-1].startswith("out: 80 images of 8 x 8 with 6 channels (gasf:acc-x,")
    wrong = run(repository, tmp_path, "convert", "basic-motions", "other", "--size", "800")
    assert wrong.returncode == 2
    assert wrong.stdout.count("\n") <= 3
    assert wrong.stderr == (
        "tsimage: image size 800 does not fit windows of 100 samples: PAA never upsamples; "
        "choose a size from 1 to 100 or cut longer windows\n"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
