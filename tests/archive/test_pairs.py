"""Lists of pairs in all their forms."""

import pytest

from georeg.archive.pairs import glob_pairs, read_pair_file, read_pairs
from georeg.errors import InputError, UsageError


def summary(pairs):
    return [(pair.moving, pair.reference) for pair in pairs]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_with_overrides_and_notes(separator):
    lines = ["moving,reference,name,moving_modality,_note", "a.tif,b.tif,first,sar,cloudy", "c.tif,d.tif,,,"]
    pairs = read_pairs("-", "\n".join(lines).replace(",", separator))
    assert summary(pairs) == [("a.tif", "b.tif"), ("c.tif", "d.tif")]
    assert pairs[0].name == "first"
    assert pairs[0].overrides == {"moving_modality": "sar"}
    assert pairs[1].overrides == {}
    assert pairs[1].origin == "standard input, line 3"


def test_quoted_csv_fields_keep_their_comma():
    pairs = read_pairs("-", 'moving,reference\n"a,1.tif","b, 2.tif"\n')
    assert summary(pairs) == [("a,1.tif", "b, 2.tif")]


def test_json_lines_keep_types():
    pairs = read_pairs(
        "-",
        '{"moving": "a", "reference": "b", "band": [4, 3], "seed": null}\n\n{"moving":"c","reference":"d"}',
    )
    assert summary(pairs) == [("a", "b"), ("c", "d")]
    assert pairs[0].overrides == {"band": [4, 3]}


@pytest.mark.parametrize("text", ["a b.tif\nc.tif\n", "a b.tif\0c.tif\0", "# found\na b.tif\r\nc.tif"])
def test_plain_paths_take_the_reference(text):
    assert summary(read_pairs("-", text, "ref.tif")) == [("a b.tif", "ref.tif"), ("c.tif", "ref.tif")]


def test_plain_lines_may_name_both():
    assert summary(read_pairs("-", "a.tif\tb.tif\n")) == [("a.tif", "b.tif")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no pairs"),
        ("moving,reference\n", "holds no pairs"),
        ("moving\na.tif\n", "line 2 has no reference"),
        ("a.tif\n", "--reference"),
        ("moving,reference\na,b,c\n", "line 2: more fields"),
        ('{"moving": "a"', "no JSON object"),
        ('{"reference": "a"}', "no moving"),
        ("{}\n[1]", "has no moving|no JSON object"),
    ],
)
def test_nonsense_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read_pairs("-", text)


def test_paths_start_from_the_lists_folder(tmp_path, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "beside.tif").touch()
    (tmp_path / "here.tif").touch()
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "lists" / "pairs.csv"
    table.write_text(
        "\ufeffmoving,reference\nbeside.tif,here.tif\n/abs.tif,/vsicurl/https://x/y.tif\n", "utf-8"
    )
    first, second = read_pair_file(str(table))
    assert first.moving == str(tmp_path / "lists" / "beside.tif")
    assert first.reference == "here.tif"
    assert (second.moving, second.reference) == ("/abs.tif", "/vsicurl/https://x/y.tif")
    assert first.origin == "pairs.csv, line 2"


def test_list_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_pair_file(str(tmp_path / "none.csv"))
    (tmp_path / "image.tif").write_bytes(b"II*\0\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_pair_file(str(tmp_path / "image.tif"))


def test_glob_leaves_the_reference_out(tmp_path):
    for name in ("b.tif", "a.tif", "deep/c.tif", "ref.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    pairs = glob_pairs(f"{tmp_path}/**/*.tif", str(tmp_path / "ref.tif"))
    assert [pair.moving.rsplit("/", 1)[1] for pair in pairs] == ["a.tif", "b.tif", "c.tif"]
    with pytest.raises(InputError, match="quote it"):
        glob_pairs(f"{tmp_path}/*.jp2", "ref.tif")
