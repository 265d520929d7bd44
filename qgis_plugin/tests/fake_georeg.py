"""Stands in for the georeg program in tests: keeps its contract, does none of its work.

What it does is chosen by the environment variable FAKE_GEOREG:
    ok        progress, files, JSON (the default)
    warn      the same with verdict "warn"
    fail      exit 3 with georeg's sentence, JSON with verdict "fail"; a raster only with --keep-failed
    hopeless  the same, and never a raster, because no transform was found
    hanging   says nothing, not even its version
    nooverlap, usage, input, memory, crash, traceback, silent, garbage: end in these ways
    sleep     reports progress, starts a child that sleeps, and sleeps itself until interrupted
    stubborn  the same, but it and its child ignore SIGINT and SIGTERM
    diskfull  a half-written temporary file, removed, and exit 5
    killed_while_writing: leaves a temporary file and ignores everything but SIGKILL
    noise     other text between the progress lines
    old, alien: an old version, another program
The file named by FAKE_GEOREG_LOG gets the process ids, the arguments and the environment as JSON.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

MODE = os.environ.get("FAKE_GEOREG", "ok")
STAGES = (("overview", 2), ("tiles", 4), ("fit", 1), ("write", 2), ("report", 1))


def main(arguments):
    if "--version" in arguments:
        say_version()
    command = arguments[0]
    if command == "doctor":
        answer({"devices": [{"device": "cpu", "description": "2 threads"}], "weights": [{"name": "small"}]})
    log(arguments)
    end_badly(arguments)
    if MODE in ("sleep", "stubborn"):
        sleep_long()
    {"match": match, "warp": warp, "batch": batch, "evaluate": evaluate}[command](arguments)


def say_version():
    if MODE == "hanging":
        time.sleep(120)
    print({"old": "georeg, version 0.0.3", "alien": "GDAL 3.6.2"}.get(MODE, "georeg, version 0.1.0"))
    sys.exit(0)


def match(arguments):
    for stage, total in STAGES:
        for done in range(total + 1):
            progress(stage, done, total)
    moving, _, *output = arguments[arguments.index("--") + 1 :]
    verdict = {"hopeless": "fail", "fail": "fail", "warn": "warn"}.get(MODE, "pass")
    registration = made_up_registration(verdict)
    for option, write in (
        ("--registration", write_json),
        ("--report", write_report),
        ("--points", write_points),
    ):
        for position, word in enumerate(arguments):
            if word == option:
                write(arguments[position + 1], registration)
    if MODE == "fail" and "--keep-failed" in arguments:
        copy(moving, output[0])
        registration["transform"] = {"kind": "affine"}
    if verdict == "fail":
        print(json.dumps(registration))
        stop(3, "georeg: error: 7 matches found, 20 needed: try --moving-modality sar.")
    if output:
        copy(moving, output[0])
    answer(registration)


def copy(source, target):
    if os.path.isfile(source):
        shutil.copyfile(source, target)


def warp(arguments):
    progress("write", 1, 1)
    moving, output = arguments[arguments.index("--") + 1 :]
    copy(moving, output)
    answer({"output": output})


def batch(arguments):
    progress("pairs", 2, 3)
    failed = [{"name": "far", "exit_code": 3, "error": "far.tif does not overlap: try --prior none."}]
    counts = {"pass": 1, "warn": 1, "fail": 1, "error": 0}
    if MODE == "fail":
        counts = {"pass": 0, "warn": 0, "fail": 1, "error": 0}
    print(
        json.dumps({"schema": "georeg.batch/1", "pairs": 3, "skipped": 1, "counts": counts, "failed": failed})
    )
    stop(6, "georeg: error: 1 of 3 pairs failed; see manifest.jsonl")


def evaluate(arguments):
    figures = {"n": 20, "SR@3": 0.5, "SR@5": 0.9, "SR@10": 1.0, "AUC@10": 0.7}
    answer({"summary": {"sar-optical": figures, "all": figures}, "pairs": []})


def end_badly(arguments):
    if MODE == "nooverlap":
        stop(3, "georeg: error: the images do not overlap: 12 km lie between them. Try --prior none.")
    if MODE == "usage":
        stop(
            2,
            "Usage: georeg match [OPTIONS]\nTry 'georeg match -h' for help.\n\nError: No such option: --nonsense",
        )
    if MODE == "input":
        stop(4, "georeg: WARNING: slow disk\ngeoreg: error: a.tif is truncated:\n  copy it again.")
    if MODE == "memory":
        stop(5, "georeg: error: memory ran out: try a smaller --memory")
    if MODE == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if MODE == "traceback":
        raise ValueError("a bug")
    if MODE == "silent":
        sys.exit(3)
    if MODE == "garbage":
        print("this is no JSON")
        sys.exit(0)
    if MODE == "diskfull":
        stop(5, "georeg: error: no space left to write out.tif: free some and try again")
    if MODE == "killed_while_writing":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        output = arguments[-1]
        folder, name = os.path.split(output)
        stem, suffix = os.path.splitext(name)
        open(os.path.join(folder, f".{stem}.{os.getpid()}-0123abcd{suffix}"), "w").close()
        progress("write", 1, 9)
        time.sleep(120)
    if MODE == "noise":
        print("georeg: WARNING: no nodata value is set\n{broken json\n\n{}", file=sys.stderr, flush=True)


def sleep_long():
    code = "import time; time.sleep(120)"
    if MODE == "stubborn":
        code = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; time.sleep(120)"
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    try:
        child = subprocess.Popen([sys.executable, "-c", code])
        log(sys.argv[1:], child.pid)
        progress("tiles", 1, 4)
        time.sleep(120)
    except KeyboardInterrupt:
        stop(130, "georeg: interrupted; no file was left half written")


def made_up_registration(verdict):
    return {
        "schema": "georeg.registration/1",
        "transform": None if verdict == "fail" else {"kind": "affine", "matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]},
        "quality": {
            "verdict": verdict,
            "reasons": {"pass": [], "warn": ["Only half of the overlap holds tie points."],
                        "fail": ["7 matches found, 20 needed."]}[verdict],
            "probability_correct": 0.02 if verdict == "fail" else 0.998,
            "rmse_px": 0.4,
            "holdout_rmse_px": 0.5,
            "ce90_px": None if verdict == "fail" else 0.71,
            "ce90_m": None if verdict == "fail" else 7.1,
            "coverage": 0.83,
            "matches": 7 if verdict == "fail" else 512,
            "inliers": 0 if verdict == "fail" else 431,
        },
        "run": {"seconds": {"tiles": 1.0}},
    }  # fmt: skip


def write_json(path, registration):
    with open(path, "w") as stream:
        json.dump(registration, stream)


def write_report(path, registration):
    with open(path, "w") as stream:
        stream.write("<!doctype html><title>report</title>")


def write_points(path, registration):
    with open(path, "w") as stream:
        if path.endswith(".points"):
            stream.write("#CRS: \nmapX,mapY,sourceX,sourceY,enable,dX,dY,residual\n")
        else:
            points = [tie_point(index) for index in range(4)]
            json.dump({"type": "FeatureCollection", "features": points}, stream)


def tie_point(index):
    x, y = 15.0 + 0.001 * index, 48.75 + 0.001 * (index % 2)
    properties = {
        "map_x": x,
        "map_y": y,
        "moved_map_x": x - 1e-5,
        "moved_map_y": y + 1e-5,
        "inlier": index != 3,
    }
    properties.update(residual_x_px=0.5, residual_y_px=-0.5, confidence=0.9)
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, y]}, "properties": properties}


def progress(stage, done, total):
    line = json.dumps({"stage": stage, "done": done, "total": total, "message": ""})
    print(line, file=sys.stderr, flush=True)
    time.sleep(float(os.environ.get("FAKE_GEOREG_PACE", "0")))


def log(arguments, child=None):
    if os.environ.get("FAKE_GEOREG_LOG"):
        entry = {"pid": os.getpid(), "child": child, "arguments": arguments, "environment": dict(os.environ)}
        with open(os.environ["FAKE_GEOREG_LOG"] + ".new", "w") as stream:
            json.dump(entry, stream)
        os.replace(os.environ["FAKE_GEOREG_LOG"] + ".new", os.environ["FAKE_GEOREG_LOG"])


def answer(result):
    print(json.dumps(result))
    sys.exit(0)


def stop(code, text):
    print(text, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
