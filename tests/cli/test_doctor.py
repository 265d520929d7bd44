"""`georeg doctor` and `georeg schema`."""

import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
import rasterio
from click.testing import CliRunner
from georeg_cli import doctor
from georeg_cli.main import cli

from georeg.network import weights


def examined(*arguments):
    done = CliRunner().invoke(cli, ["doctor", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout


def test_the_examination_as_json():
    code, said = examined("--json")
    found = json.loads(said)
    assert code == 0
    assert found["problems"] == []
    assert found["gdal"]["rasterio_gdal"] == rasterio.__gdal_version__
    assert found["drivers"]["COG"] is True
    assert found["devices"][0]["device"] == "cpu"
    assert found["libraries"]["torch"]
    for item in found["weights"]:
        assert item["sha256"] == hashlib.sha256(Path(item["path"]).read_bytes()).hexdigest()


def test_the_examination_for_people():
    _, said = examined()
    assert "device     cpu" in said
    assert "problem    none" in said


def test_damaged_weights_and_a_missing_library_are_problems(tmp_path, monkeypatch):
    (tmp_path / "tiny.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "no-such-library"))
    code, said = examined("--json")
    assert code == 1
    first, second = json.loads(said)["problems"]
    assert first == "no-such-library is not installed"
    assert "tiny" in second


def test_the_schema_is_a_schema():
    done = CliRunner().invoke(cli, ["schema"], catch_exceptions=False)
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "georeg.registration/1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "georeg.registration/1"}, schema)
