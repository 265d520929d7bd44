"""A batch from its list to its summary: what is written, skipped, tried again; on real worker processes."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import fake_delivery
import pyogrio
import pytest
from fake_delivery import Here

from georeg.archive.batch import Batch, run_batch
from georeg.archive.manifest import Manifest, Record, latest, manifests, read_records
from georeg.archive.pairs import Pair
from georeg.archive.pool import LocalPool
from georeg.archive.shards import Shard
from georeg.archive.summary import index_html
from georeg.errors import BatchFailedError, UsageError
from georeg.registration.options import MatchOptions


def batch_of(pairs, folder, **more) -> Batch:
    return Batch(
        **{"pairs": pairs, "folder": folder, "deliver": fake_delivery.deliver, "weights": lambda m: "w"}
        | more
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of all files but those that hold times."""
    timed = {"index.html", "summary.csv", "footprints.gpkg", "item.json"}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "manifest" not in path.name)
    return {str(path.relative_to(folder)): b"" if path.name in timed else path.read_bytes() for path in files}


def rows(table: Path) -> list[dict[str, str]]:
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_written_and_summed_up(make_pairs, tmp_path):
    pairs = make_pairs("pass", "fail", "bug")
    pairs.append(replace(pairs[0], moving=str(tmp_path / "none.tif")))
    out, seen = tmp_path / "out", []
    result = run_batch(
        batch_of(pairs, out), Here, lambda record, done, total: seen.append((record.name, done, total))
    )
    assert [(record.name, record.exit_code, record.verdict) for record in result.records] == [
        ("p0", 0, "pass"),
        ("p1", 3, "fail"),
        ("p2", 1, None),
        ("none", 4, None),
    ]
    assert seen == [("p0", 1, 4), ("p1", 2, 4), ("p2", 3, 4), ("none", 4, 4)]
    good, refused, bug, _ = result.records
    assert set(good.outputs) == {"raster", "registration", "points", "report", "stac"}
    assert set(refused.outputs) == {"registration", "points", "report"}
    assert refused.error == "7 matches found, 20 needed: try --moving-modality sar."
    assert bug.error == "unexpected ValueError: something nobody thought of"
    assert good.seconds > 0
    assert good.peak_rss_bytes > 10 * 1024**2
    assert (good.ce90_m, good.matcher, good.inliers) == (720.0, "fake", 100)
    with pytest.raises(BatchFailedError, match="3 of 4 pairs failed"):
        result.raise_for_failures()
    assert not list(out.rglob(".*")), "nothing unfinished is left"
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["p0", "p1"]


def test_summary_table_map_and_page(make_pairs, tmp_path):
    out = tmp_path / "out"
    run_batch(batch_of(make_pairs("pass", "fail", "bug"), out), Here)
    table = rows(out / "summary.csv")
    assert [(row["name"], row["status"]) for row in table] == [
        ("p0", "pass"),
        ("p1", "fail"),
        ("p2", "error"),
    ]
    assert (out / table[0]["raster"]).exists()
    meta, _, geometry, fields = pyogrio.raw.read(out / "footprints.gpkg", layer="footprints")
    columns = dict(zip(meta["fields"], fields, strict=True))
    assert list(columns["status"]) == ["pass", "fail", "error"]
    assert columns["ce90_m"][0] == 720.0
    assert geometry[0] is not None
    assert geometry[2] is None
    bounds = pyogrio.read_bounds(out / "footprints.gpkg", layer="footprints", where="name = 'p0'")[1][:, 0]
    assert bounds == pytest.approx([10.03, 49.18, 11.03, 49.98])
    with sqlite3.connect(out / "footprints.gpkg") as database:
        ((name, style),) = database.execute(
            "SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault = 1"
        )
    database.close()
    assert name == "footprints"
    assert 'attr="status"' in style
    page = (out / "index.html").read_text()
    assert 'href="p0/report.html"' in page
    assert 'href="p1/report.html"' in page
    assert "something nobody thought of" in page
    assert [page.index(f'"name">{name}<') for name in ("p2", "p1", "p0")] == sorted(
        page.index(f'"name">{name}<') for name in ("p0", "p1", "p2")
    ), "what needs a look comes first"


def test_the_page_claims_no_certainty():
    made = [
        Record(str(p), "key", "m.tif", "r.tif", 0, verdict="pass", probability_correct=p)
        for p in (0.9987, 0.97)
    ]
    page = index_html(made, 2)
    assert "&gt; 99 %" in page
    assert "97 %" in page
    assert "100 %<" not in page


def test_stac_item_lies_beside_the_output(make_pairs, tmp_path):
    run_batch(batch_of(make_pairs("pass"), tmp_path / "out"), Here)
    item = json.loads((tmp_path / "out" / "p0" / "item.json").read_text())
    assert (item["type"], item["stac_version"], item["id"]) == ("Feature", "1.0.0", "p0")
    assert item["bbox"] == pytest.approx([10.03, 49.18, 11.03, 49.98])
    assert item["geometry"]["coordinates"][0][0] == item["geometry"]["coordinates"][0][-1]
    assert item["properties"]["georeg:verdict"] == "pass"
    assert item["properties"]["datetime"]
    assert item["properties"]["proj:code"] == "EPSG:4326"
    assert item["properties"]["proj:shape"] == [3, 4]
    assert item["assets"]["raster"]["href"] == "./p0.tif"
    assert {link["rel"] for link in item["links"]} == {"derived_from"}


def test_footprint_is_counter_clockwise(make_pairs, tmp_path):
    (record,) = run_batch(batch_of(make_pairs("pass"), tmp_path / "out"), Here).records
    ring = record.footprint
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    assert area > 0


def test_resume_does_only_what_is_left_or_changed(make_pairs, tmp_path):
    pairs, out = make_pairs("pass", "fail", "pass", "bug"), tmp_path / "out"
    run_batch(batch_of(pairs, out), Here)
    Path(pairs[2].moving).write_text("pass again")
    (out / "p0" / "report.html").unlink()
    again = Here()
    result = run_batch(batch_of(pairs, out, resume=True), lambda: again)
    assert sorted(again.seen) == ["p0", "p2", "p3"], "output gone; input changed; unexpected error"
    assert result.skipped == 1
    with_nothing_left = run_batch(
        batch_of(pairs[:3], out, resume=True), lambda: pytest.fail("nobody is needed")
    )
    assert with_nothing_left.skipped == 3
    other = Here()
    run_batch(batch_of(pairs[:3], out, resume=True, match=MatchOptions(transform="shift")), lambda: other)
    assert sorted(other.seen) == ["p0", "p1", "p2"]


def test_folder_of_an_earlier_batch_is_not_touched_unasked(make_pairs, tmp_path):
    pairs, out = make_pairs("pass"), tmp_path / "out"
    run_batch(batch_of(pairs, out), Here)
    before = (out / "manifest.jsonl").read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        run_batch(batch_of(pairs, out), Here)
    assert (out / "manifest.jsonl").read_bytes() == before
    anew = Here()
    run_batch(batch_of(pairs, out, overwrite=True), lambda: anew)
    assert anew.seen == ["p0"]
    assert len(list(read_records(manifests(out)))) == 1


def test_foreign_files_in_a_pairs_folder_stay(make_pairs, tmp_path):
    note = tmp_path / "out" / "p0" / "note.txt"
    note.parent.mkdir(parents=True)
    note.write_text("mine")
    run_batch(batch_of(make_pairs("pass"), tmp_path / "out"), Here)
    assert note.read_text() == "mine"


def test_passing_failures_are_tried_again(make_pairs, tmp_path):
    pairs, out = make_pairs("pass memory=2", "pass memory=9", "pass"), tmp_path / "out"
    result = run_batch(batch_of(pairs, out, retries=2), Here)
    assert [(record.exit_code, record.attempt) for record in result.records] == [(0, 3), (5, 3), (0, 1)]
    codes = [record.exit_code for record in read_records(manifests(out)) if record.name == "p0"]
    assert codes == [5, 5, 0]


def test_inputs_behind_a_network_are_tried_again_if_they_cannot_be_read(tmp_path):
    item = tmp_path / "item.json"
    item.write_text(
        json.dumps({"assets": {"near": {"href": "a.tif"}, "far": {"href": "https://host/a.tif"}}})
    )
    inputs = "none.tif", "https://host/a.tif", f"{item}#near", f"{item}#far", f"{item}#none"
    pairs = [Pair(moving, "r.tif") for moving in inputs]
    result = run_batch(batch_of(pairs, tmp_path / "out", retries=1), Here)
    assert [record.exit_code for record in result.records] == [4] * 5
    assert [record.attempt for record in result.records] == [1, 2, 1, 2, 1]


def test_fail_fast_stops(make_pairs, tmp_path):
    here = Here(width=1)
    result = run_batch(
        batch_of(make_pairs("pass", "fail", "pass", "pass"), tmp_path / "out", fail_fast=True), lambda: here
    )
    assert here.seen[:2] == ["p0", "p1"]
    assert len(result.records) == 2
    assert result.unfinished == 2
    with pytest.raises(BatchFailedError, match="2 not tried"):
        result.raise_for_failures()


def test_shards_together_do_what_one_run_does(make_pairs, tmp_path):
    pairs = make_pairs("pass", "fail", "pass", "pass", "fail", "pass", "pass")
    run_batch(batch_of(pairs, tmp_path / "whole"), Here)
    for index in (2, 1, 3):
        run_batch(batch_of(pairs, tmp_path / "parts", shard=Shard(index, 3)), Here)
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")
    tables = [rows(tmp_path / name / "summary.csv") for name in ("whole", "parts")]
    assert [[row["name"], row["status"]] for row in tables[0]] == [
        [row["name"], row["status"]] for row in tables[1]
    ]
    rest = Here()
    run_batch(batch_of(pairs, tmp_path / "parts", resume=True), lambda: rest)
    assert rest.seen == [], "a later run in one piece sees what the shards did"


def test_shards_of_a_large_batch_are_summed_up_once(make_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("georeg.archive.batch.SUMMARY_ALWAYS", 3)
    pairs, out = make_pairs(*["pass"] * 5), tmp_path / "out"
    run_batch(batch_of(pairs, out, shard=Shard(1, 2)), Here)
    assert not (out / "summary.csv").exists()
    run_batch(batch_of(pairs, out, shard=Shard(2, 2)), Here)
    assert [row["name"] for row in rows(out / "summary.csv")] == ["p0", "p1", "p2", "p3", "p4"]


def test_shard_looks_at_its_own_files_only(make_pairs, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("georeg.archive.jobs.file_identity", lambda path: seen.append(Path(path).name))
    run_batch(batch_of(make_pairs(*["pass"] * 4), tmp_path / "out", shard=Shard(2, 2)), Here)
    assert {name for name in seen if name.startswith("p")} == {"p1.tif", "p3.tif"}


def test_torn_manifest_line_loses_only_its_pair(make_pairs, tmp_path):
    pairs, out = make_pairs("pass", "pass", "pass"), tmp_path / "out"
    run_batch(batch_of(pairs, out), Here)
    path = out / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    again = Here()
    run_batch(batch_of(pairs, out, resume=True), lambda: again)
    assert again.seen == ["p2"]
    assert {name: record.exit_code for name, record in latest(read_records([path])).items()} == dict.fromkeys(
        ("p0", "p1", "p2"), 0
    )


def test_manifest_has_one_writer(tmp_path):
    with (
        Manifest(tmp_path / "manifest.jsonl"),
        pytest.raises(UsageError, match="Another georeg batch"),
    ):
        Manifest(tmp_path / "manifest.jsonl")


def test_record_goes_there_and_back():
    record = Record(
        "a", "k", "m.tif", "r.tif", 3, "no", verdict="fail", reasons=("x", "y"), options={"seed": 2}
    )
    assert Record.from_line(record.to_line()) == record
    assert Record.from_line(record.to_line()[:-1]) is None
    assert Record.from_line("[]") is None


def test_workers_keep_apart_and_run_single_threaded(make_pairs, tmp_path):
    result = run_batch(batch_of(make_pairs(*["pass"] * 4), tmp_path / "out"), lambda: LocalPool(2))
    assert [record.exit_code for record in result.records] == [0, 0, 0, 0]


def test_dying_workers_take_only_their_pair(make_pairs, tmp_path):
    pairs = make_pairs("pass crash=1", "pass", "pass crash=9", "pass")
    result = run_batch(batch_of(pairs, tmp_path / "out", retries=1), lambda: LocalPool(2))
    assert [(record.exit_code, record.attempt) for record in result.records] == [
        (0, 2),
        (0, 1),
        (5, 2),
        (0, 1),
    ]
    assert "exit code 9" in result.records[2].error


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import fake_delivery
from georeg.archive.batch import Batch, run_batch
from georeg.archive.pairs import Pair
from georeg.archive.pool import LocalPool

if __name__ == "__main__":
    inputs = Path({inputs!r})
    pairs = [Pair(str(path), str(inputs / "reference.tif")) for path in sorted(inputs.glob("p*.tif"))]
    batch = Batch(pairs, Path({out!r}), resume=True, deliver=fake_delivery.deliver, weights=lambda match: "w")
    run_batch(batch, lambda: LocalPool(2))
"""


def test_outputs_are_on_the_disk_before_their_record(make_pairs, tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: forced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
    )
    run_batch(batch_of(make_pairs("pass"), tmp_path / "out"), Here)
    wanted = {"p0.tif", "registration.json", "points.gpkg", "report.html", "item.json", "p0"}
    assert wanted <= set(forced[: forced.index("manifest.jsonl")])


def test_workers_share_out_the_gpus(make_pairs, tmp_path):
    batch = batch_of(make_pairs(*["pass"] * 8), tmp_path / "out", deliver=fake_delivery.deliver_on)
    result = run_batch(batch, lambda: LocalPool(4, ("cuda:0", "cuda:1")))
    used = Counter(record.matcher for record in result.records)
    assert set(used) == {"cuda:0", "cuda:1"}
    assert min(used.values()) >= 2


def test_killed_at_random_points_it_ends_with_the_same_outputs(make_pairs, tmp_path):
    """SIGKILL to the batch twice, each time at another point of its work, then once to the end."""
    pairs = make_pairs(*["pass write=0.02", "pass write=0.03", "fail write=0.02", "pass slow=0.05"] * 3)
    run_batch(batch_of(pairs, tmp_path / "whole"), Here)
    script = tmp_path / "run.py"
    out = tmp_path / "killed"
    script.write_text(
        SCRIPT.format(here=str(Path(__file__).parent), inputs=str(tmp_path / "in"), out=str(out))
    )
    for ended in (1, 5):
        process = subprocess.Popen([sys.executable, str(script)], env=os.environ)
        wait_for_lines(out / "manifest.jsonl", ended, process)
        time.sleep(0.013 * ended)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, str(script)], check=True, env=os.environ, timeout=120)
    assert tree(out) == tree(tmp_path / "whole")
    records = latest(read_records(manifests(out)))
    assert {name: record.exit_code for name, record in records.items()} == {
        f"p{number}": 3 if number % 4 == 2 else 0 for number in range(12)
    }


def wait_for_lines(path: Path, count: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    assert process.poll() is None, "the batch ended before it could be killed"
    pytest.fail("the batch did not get on")
