import json
import re
import tomllib
from itertools import product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import distill.cli
import distill.plan
import distill.runner  # before a test puts something else in the place of Plan, which it would keep
from distill import Run
from distill.gridfile import LARGEST_BYTES, Cell, in_words, read_grid
from distill.options import checked, command, option_types, options_of, run_from
from distill.statements import deepest_line, lines_of
from tsimage import ReadOptions
from tsimage.errors import UserError

READ = set(ReadOptions.__dataclass_fields__)


def direct(options):
    """The run of flat options, made by the dataclasses themselves."""
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    plain |= {k: float(plain[k]) for k in ("lambda", "alpha", "learning_rate") if k in plain}
    read = {k: v for k, v in plain.items() if k in READ}
    own = {"lambda_" if k == "lambda" else k: v for k, v in plain.items() if k not in READ}
    return Run(**own, read=ReadOptions(**read))


EXAMPLES = {
    "teacher": ["wrn16-1:gasf", "wrn28-1:signal"],
    "student": "wrn10-1",
    "data": "some where/it's.csv",
    "lambda": 0.25,
    "lambda_to": 0.75,
    "temperature": 3.0,
    "temperature_to": 1.5,
    "loss": "kd+sp(beta=700, merge=raw)",
    "weighing": "aver",
    "warm_start": True,
    "alpha": 1.0,
    "image_size": 16,
    "scaling": "fixed:g=4",
    "epochs": 7,
    "batch_size": 32,
    "learning_rate": 1e-05,
    "weight_decay": 0.0,
    "optimizer": "adamw",
    "course": "one-cycle",
    "warmup_epochs": 2,
    "label_smoothing": 0.1,
    "balanced": True,
    "ema": 0.99,
    "augment": "rotation(degrees=15)+jitter",
    "teaching": "live",
    "patience": 3,
    "seeds": [4, 2],
    "shared_teachers": True,
    "folds": "loso",
    "select": ["lambda=0.1,0.5", "temperature=2,4"],
    "protocol": "lab",
    "evaluate": "validation",
    "device": "cpu",
    "precision": "fp32",
    "channels": ["acc*", "gyro-x"],
    "classes": ["WALKING*"],
    "window": "2.56s",
    "overlap": 0.5,
    "label": "what",
    "time": "t",
    "time_unit": "ms",
    "rate": 50.0,
    "subject": "who",
    "recording": "r",
    "units": ["g"],
    "drop_unlabelled": True,
    "format": "table",
    "layout": "long",
    "channel_column": "c",
    "value_column": "v",
    "path_pattern": "{subject}/{label}.csv",
    "faults": "raise",
    "resample": 25.0,
    "labelling": "centre",
    "transitions": "drop",
    "without": ["stuck", "clipped"],
    "missing": "0.2s",
    "constant": "flag",
}
COMMON = st.fixed_dictionaries(
    {},
    optional={
        "data": st.sampled_from(["hapt", "basic-motions", 'a "quoted" \\ [path] # = x', "l'été"]),
        "epochs": st.integers(1, 500),
        "lambda": st.sampled_from([0, 1, 0.5]),
        "balanced": st.booleans(),
        "channels": st.lists(st.sampled_from(["acc*", "gyro-x", "[x]"]), min_size=1, max_size=3),
        "seeds": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    },
)
AXES = {
    "teacher": ["wrn16-1", "wrn16-3", ["wrn16-1:gasf", "wrn28-1:signal"], ["wrn16-1:mtf", "wrn28-1:signal"]],
    "alpha": [0, 0.1, 0.5, 1.0],
    "learning_rate": [0.1, 1e-3, 1],
    "window": ["2.56s", "128", '"""', "'[", "#"],
    "balanced": [True, False],
    "epochs": [1, 2],
    "label": ["a = 1", "[[grid]]", "a\\b"],
}
TABLE = st.lists(st.sampled_from(sorted(AXES)), unique=True, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries(
        {
            name: st.one_of(
                st.sampled_from(AXES[name]).filter(lambda value: not isinstance(value, list)),
                st.lists(st.sampled_from(AXES[name]), min_size=1, max_size=3, unique_by=str),
            )
            for name in names
        }
    )
)


def toml(value, draw):
    """Write a value as TOML: basic strings are those of JSON, arrays may be spread over lines."""
    if isinstance(value, list):
        gap = draw(st.sampled_from(["", " ", "\n  ", " # [ ' \"\n"]))
        return "[" + gap + f",{gap}".join(toml(v, draw) for v in value) + gap + "]"
    if isinstance(value, str) and "'" not in value and draw(st.booleans()):
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


class Writing:
    """A grid being written, with the line of each table and key."""

    def __init__(self, draw):
        self.draw, self.text, self.lines = draw, "", {}

    def add(self, place, line):
        self.text += self.draw(st.sampled_from(["", "\n", "# alpha = [1\n", "  "]))
        self.lines[place] = self.text.count("\n") + 1
        self.text += line + self.draw(st.sampled_from(["\n", " # [[grid]]\n", "\n\n"]))

    def options(self, place, options):
        for name, value in options.items():
            key = self.draw(st.sampled_from([name, name.replace("_", "-"), f'"{name}"', f"'{name}'"]))
            equals = self.draw(st.sampled_from(["=", " = "]))
            bare = key.strip("\"'")
            self.add((*place, bare), f"{key}{equals}{toml(value, self.draw)}")


@st.composite
def files(draw):
    writing, common = Writing(draw), draw(COMMON)
    tables = draw(st.lists(TABLE, max_size=3))
    writing.add(("run",), "[run]")
    writing.options(("run",), common)
    for number, table in enumerate(tables):
        writing.add(("grid", number), draw(st.sampled_from(["[[grid]]", "[[ grid ]]", '[["grid"]]'])))
        writing.options(("grid", number), table)
    return writing, common, tables


@settings(max_examples=150)
@given(file=files())
def test_a_written_grid_is_read_as_every_combination_once(tmp_path_factory, file):
    writing, common, tables = file
    expected = {}
    for number, table in enumerate(tables or [{}]):
        lists = [value if isinstance(value, list) else [value] for value in table.values()]
        for combination in product(*lists):
            options = dict(zip(table, combination, strict=True))
            options = {k: [v] if k == "teacher" and isinstance(v, str) else v for k, v in options.items()}
            line = writing.lines["grid", number] if tables else writing.lines["run",]
            expected.setdefault(direct(common | options), line)
    path = tmp_path_factory.mktemp("grid") / "mine.toml"
    path.write_bytes(writing.text.replace("\n", "\r\n").encode() if len(writing.text) % 2 else writing.text.encode())
    grid = read_grid(path)
    assert [cell.run for cell in grid.runs] == list(expected)
    assert [cell.run.hash() for cell in grid.runs] == [run.hash() for run in expected]  # 1 and 1.0 would differ there
    assert [cell.line for cell in grid.runs] == list(expected.values())
    assert (grid.path, grid.name) == (path, "mine")
    assert lines_of(writing.text) == writing.lines
    named = list(dict.fromkeys(name for table in tables for name in table))
    varying = {name for name in named if len({json.dumps(options_of(run)[name]) for run in expected}) > 1}
    assert set(grid.axes) == varying
    for cell in grid.runs:
        assert cell.values == {name: options_of(cell.run)[name] for name in grid.axes}
        json.dumps(cell.values)
    assert len({json.dumps(cell.values) for cell in grid.runs}) == len(grid.runs)


@pytest.fixture
def read(tmp_path):
    def _read(text):
        path = tmp_path / "g.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_grid(path)

    return _read


@pytest.fixture
def cli_run(monkeypatch):
    """The run that the command line makes, which is then not done."""

    def _run(*words):
        class CaughtError(Exception):
            pass

        def caught(config, windows, out):
            raise CaughtError(config)

        monkeypatch.setattr(distill.cli, "load_and_tell", lambda *_: None)
        monkeypatch.setattr(distill.plan, "Plan", caught)
        with pytest.raises(CaughtError) as stop:
            distill.cli.main(["run", *words])
        return stop.value.args[0]

    return _run


def test_every_option_has_an_example_here():
    assert set(EXAMPLES) == set(option_types()) == set(options_of(Run()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_command_line_file_and_mapping_make_equal_runs(name, read, cli_run):
    value = EXAMPLES[name]
    options = {"teacher": ["wrn16-1:gasf", "wrn16-1:signal"]} | {name: value}
    words = []
    for key, given_value in options.items():
        flag = f"--{key.replace('_', '-')}"
        several = given_value if isinstance(given_value, list) else [given_value]
        words += [flag] if given_value is True else [flag, *map(str, several)]
    run = cli_run(*words)
    assert run == direct(options) == run_from(options)
    assert run.hash() == run_from(options).hash()
    assert run_from(options_of(run)) == run
    if name not in ("select",):
        text = "[run]\n" + "".join(f"{key} = {json.dumps(v)}\n" for key, v in options.items())
        assert [cell.run for cell in read(text).runs] == [run]


def test_the_command_of_a_run_makes_it_again(cli_run):
    import shlex

    free = {
        k: v
        for k, v in EXAMPLES.items()
        if k not in ("weighing", "select", "patience", "teaching", "alpha", "warmup_epochs", "protocol")
    }
    run = run_from(free | {"path_pattern": "--odd 'one'", "seeds": [-1, 3]})
    words = shlex.split(command(run))
    assert words[:2] == ["distill", "run"]
    assert cli_run(*words[2:]) == run
    assert command(Run()) == "distill run"


def test_the_example_of_the_module_is_read(read):
    import distill.gridfile

    text = re.search(r"(?ms)^    \[run\].*?(?=^\S)", distill.gridfile.__doc__)[0]
    grid = read("\n".join(line[4:] for line in text.splitlines()))
    assert grid.axes == ("teacher", "alpha", "window")
    assert [cell.name for cell in grid.runs] == [
        *(f"teacher wrn16-1, alpha {a}" for a in (0.1, 0.3, 0.5)),
        *(f"teacher wrn16-1:gasf wrn28-1:signal, alpha {a}" for a in (0.1, 0.3, 0.5)),
        "teacher wrn16-1, window 2.56s",
        "teacher wrn16-1, window 5s",
    ]
    assert grid.runs[0].values == {"teacher": ["wrn16-1"], "alpha": 0.1, "window": None}
    assert {cell.run.read.channels for cell in grid.runs} == {("acc*",)}


def test_a_table_overrides_run_and_duplicates_count_once(read):
    grid = read("[run]\nalpha = 0.5\n[[grid]]\nalpha = [0.1, 0.2]\n[[grid]]\nalpha = [0.2, 0.3]\n[[grid]]\nalpha = 0.1")
    assert [(cell.run.alpha, cell.line) for cell in grid.runs] == [(0.1, 3), (0.2, 3), (0.3, 5)]


def test_without_a_grid_there_is_one_run(read):
    for text, line in (("# nothing\n\n[run]\nepochs = 3", 3), ("[run]\nepochs = 3\n[[grid]]\n", 3)):
        (cell,) = read(text).runs
        assert (cell.run, cell.values, cell.line, cell.name) == (Run(epochs=3), {}, line, "as given in [run]")
    assert read("").runs[0].run == Run()


def test_a_mark_at_the_beginning_is_no_part_of_the_text(read):
    assert read(b"\xef\xbb\xbf[run]\nepochs = 3").runs[0].run == Run(epochs=3)


def test_inline_tables_and_dotted_keys_are_tables_too(read):
    grid = read('run.epochs = 3\nrun.student = "wrn10-1"\ngrid = [{alpha = [0.1, 0.2]}]')
    assert [cell.run for cell in grid.runs] == [Run(epochs=3, student="wrn10-1", alpha=a) for a in (0.1, 0.2)]
    assert [cell.line for cell in grid.runs] == [3, 3]


VALID = ", ".join(name.replace("_", "-") for name in option_types())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[run]\nepohs = 3", f"line 2: unknown option 'epohs': did you mean 'epochs'? Valid: {VALID}"),
        ("[[grid]]\nlambda_ = 1", f"line 2: unknown option 'lambda_': did you mean 'lambda'? Valid: {VALID}"),
        ("\n[gird]\nalpha = 1", "line 2: unknown table 'gird': did you mean 'grid'? Valid: run, grid"),
        ("[[runs]]\nalpha = 1", "line 1: unknown table 'runs': did you mean 'run'? Valid: run, grid"),
        ("epochs = 3", "line 1: 'epochs' stands outside of a table: put it below [run]"),
        ("[[run]]", "line 1: the options of all runs are one table: write [run], once"),
        ("[run]\n\n[grid]", "line 3: every grid is a table of its own: write [[grid]], in double brackets"),
        ("\ngrid = [1]", "line 2: every grid is a table of its own: write [[grid]], in double brackets"),
        ("[run]\n[run.read]\nwindow='1s'", f"line 2: unknown option 'read': did you mean 'ema'? Valid: {VALID}"),
        ('[run]\nepochs = "20"', "line 2: epochs takes a whole number, but got the text '20': write it without quotes"),
        ("[run]\nepochs = 2.5", "line 2: epochs takes a whole number, but got the number 2.5: write it without a fraction"),
        ("[run]\nepochs = true", "line 2: epochs takes a whole number, but got true: give one"),
        ("[run]\nalpha = true", "line 2: alpha takes a number, but got true: give one"),
        ("[run]\nalpha = 1979-05-27", "line 2: alpha takes a number, but got a date or time: give one"),
        ("[run]\nwindow = 128", "line 2: window takes a text, but got the number 128: put it in quotes"),
        ("[run]\nbalanced = 1", "line 2: balanced takes true or false, but got the number 1: write true or false, without quotes"),
        ("[run]\nseeds = ['a']", "line 2: seeds takes a whole number, but got the text 'a': write it without quotes"),
        ("[run]\nalpha = {x=1}", "line 2: alpha takes a number, but got a table: give one value"),
        ("[run]\nalpha = nan", "line 2: alpha nan is not allowed: give a finite number"),
        ("[run]\nlambda = 1e999", "line 2: lambda inf is not allowed: give a finite number"),
        ("[run]\ndevice = 'gpu'", "line 2: unknown device 'gpu': did you mean 'cpu'? Valid: auto, cuda, mps, cpu"),
        ("[run]\nepochs = [1, 2]", "line 2: epochs has one value in [run]: put a list of values to combine in [[grid]]"),
        ("[run]\nchannels = []", "line 2: channels has an empty list: give a value, or leave it out"),
        ("[[grid]]\nalpha = [\n]", "line 2: alpha has an empty list: give a value, or leave it out"),
        ("[[grid]]\nteacher = ['wrn16-1', []]", "line 2: teacher has an empty list: give a value, or leave it out"),
        ("[[grid]]\nalpha = [[0.1], 0.2]", "line 2: alpha takes a number, but got a list: give one value"),
        ("[[grid]]\nalpha = [0.1,\n'b']", "line 2: alpha takes a number, but got the text 'b': write it without quotes"),
        ("[[grid]]\nalpha = [0, 0.1, 0.0]", "line 2: alpha 0.0 stands in the list twice: give each value once"),
        ("[[grid]]\nteacher = ['wrn16-1', ['wrn16-1']]", "line 2: teacher wrn16-1 stands in the list twice: give each value once"),
        ("[[grid]]\nbatch-size = 4\nbatch_size = 4", "line 3: option batch-size is given twice, with - and with _: give it once"),
        ("[run]\nselect = ['lambda=0.1,0.5']", "line 2: select has no place in a grid: choose with --select on one run, or with distill search, then give the grid"),
        ("[run]\n[[grid]]\nseeds = [[0, 1], [2, 3]]", "line 3: seeds belong in [run]: all runs of a grid have the same"),
        (
            "[run]\nepochs = 3\n[[grid]]\nteacher = ['wrn16-1']\nalpha = [\n0.1,\n2]",
            "line 3: teacher wrn16-1, alpha 2.0: alpha 2.0 is not allowed: it is the weight of the image teacher, from 0 to 1",
        ),
        ("\n[run]\nalpha = 2", "line 2: alpha 2.0 is not allowed: it is the weight of the image teacher, from 0 to 1"),
        ("[[grid]]\n[[grid]]\noptimizer = 'a\\nb'", "line 3: unknown optimizer 'a\\nb': Valid: sgd, adamw"),
        ("[run]\nepochs = \n", "line 2: this is no TOML (Invalid value): mend it"),
        ("[run]\na = 1\n[run]", "line 3: this is no TOML (Cannot declare ('run',) twice): mend it"),
        ("[run]\n\nepochs", "line 3: this is no TOML (Expected '=' after a key in a key/value pair): mend it"),
        ("[run]\nepochs = 1\nepochs = 2\n# more", "line 3: this is no TOML (Cannot overwrite a value): mend it"),
        ("[run]\n# x\ntime = 1979-02-30\nepochs = 1", "line 3: this is no TOML (Invalid date or datetime): mend it"),
        (b"[run]\n# ok\ndata = '\xff'", "line 3: this is not UTF-8: save the file in that encoding"),
        ("[run]\n\na = " + "[" * 5000, "line 3: brackets are nested too deep: remove some"),
        ("[run]\n[[grid]]\nepochs = [1, 2]\n[[grid]]\nepochs = [" + ",".join(map(str, range(1, 1001))) + "]\nbatch-size = [" + ",".join(map(str, range(2, 102))) + "]",
         "line 4: the file has 100,002 combinations up to here, and 100,000 are allowed: give fewer values"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_line(read, says, tmp_path, text, sentence):
    with says(f"'{tmp_path / 'g.toml'}', {sentence}"):
        read(text)


def test_a_number_of_thousands_of_digits_is_told_with_its_line(read, tmp_path):
    with pytest.raises(UserError) as error:
        read("[run]\n\nepochs = " + "1" * 5000 + "\nalpha = 0.5\n")
    assert str(error.value).startswith(f"'{tmp_path / 'g.toml'}', line 3: this is no TOML (Exceeds the limit (4300")


def test_files_that_cannot_be_a_grid(tmp_path, says):
    with says(f"'{tmp_path}' is a folder: give the TOML file of a grid"):
        read_grid(tmp_path)
    with says(f"'{tmp_path / 'no.toml'}' is not there: give the TOML file of a grid"):
        read_grid(tmp_path / "no.toml")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * LARGEST_BYTES)
    assert len(read_grid(large).runs) == 1
    large.write_bytes(b"#" * (LARGEST_BYTES + 1))
    with says(f"'{large}' is larger than 1,000,000 bytes: this is no grid"):
        read_grid(large)


@settings(max_examples=100)
@given(text=st.text("[]{}\"'#\n =.,a1\\", max_size=60))
def test_any_text_is_a_grid_or_one_sentence(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("grid") / "any.toml"
    path.write_text(text)
    try:
        made, said = read_grid(path).runs[0], ""
    except UserError as error:
        made, said = None, str(error)
    assert isinstance(made, Cell) or re.fullmatch(rf"'{re.escape(str(path))}', line \d+: .*", said)
    assert made or int(re.search(r", line (\d+): ", said)[1]) <= text.count("\n") + 1


def test_the_deepest_line_is_not_that_of_brackets_in_strings():
    assert deepest_line('a = "[[[[["\nb = [[1]] # [[[\nc = """\n[[[[\n"""\n') == 2


PIECES = ["k{} = 1", 'k{} = """', '"""', '\\"""', '""""', "k{} = '''", "'''", "k{} = [", "]", "]]", "k{} = [[", '"]", ', "'[',", "# [ \"", "[t{}]",
          "[[u]]", "[u.v{}]", '"k {}" = "\\"["', "'k{}'.b = {{c = ']'}}", "k{}=''", "", "[1],", "k = 2", 'k{} = """""" # """', "k{} = ''''''''"]  # fmt: skip


@settings(max_examples=250, suppress_health_check=[HealthCheck.filter_too_much])  # few texts are TOML
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=7))
def test_a_line_begins_a_statement_where_the_lines_before_parse_by_themselves(pieces):
    lines = [piece.format(number) for number, piece in enumerate(pieces)]

    def parses(text):
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return False
        return True

    assume(parses("\n".join(lines)))
    begin = [
        n for n, line in enumerate(lines, start=1) if re.match(r"[^#]*=|\[", line) and parses("\n".join(lines[: n - 1]))
    ]
    assert sorted(set(lines_of("\n".join(lines)).values())) == begin


def test_run_from_names_what_is_wrong(says):
    with says("option batch-size is given twice: give it once"):
        run_from({"batch-size": 2, "batch_size": 2})
    with says("epochs takes a whole number, but got a list: give one value"):
        checked("epochs", [1])
    with says("alpha takes a number, but got a table: give one value"):
        run_from({"alpha": {}})
    with says("lambda 2.0 is not allowed: it is the weight of distillation, from 0 to 1"):
        run_from({"lambda": 2})
    assert run_from({"alpha": None, "epochs": None, "lambda": 1}) == Run(lambda_=1.0)
    assert in_words({"alpha": None, "channels": []}) == ""
