"""What is typed becomes the options of the library, one for one."""

import click
import pytest
from click.testing import CliRunner
from georeg_cli import options

from georeg.output.options import OutputOptions
from georeg.registration.options import MatchOptions
from georeg.scene import Modality


@click.command()
@options.match_options
@options.output_options
@options.overwrite_option
@click.option("--keep-failed", is_flag=True)
@options.run_options
@click.pass_context
def everything(ctx, **values):
    ctx.obj.append(options.match_options_from(values))
    ctx.obj.append(options.output_options_from(values))
    assert not values, "an option that nobody uses"


def parsed(*arguments):
    found = []
    done = CliRunner().invoke(everything, arguments, obj=found, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return found


def test_nothing_typed_is_the_defaults():
    assert parsed() == [MatchOptions(), OutputOptions()]


def test_every_match_option_arrives():
    match, _ = parsed(
        "-b", "3", "-b", "1", "--reference-band", "2", "--moving-modality", "sar", "--reference-modality", "auto",
        "--transform", "tps", "--matcher", "structural", "--weights", "w.safetensors", "--device", "cuda:1",
        "--prior", "none", "--search-radius", "250", "--target-accuracy", "2.5", "--exhaustive", "--mask", "m.gpkg",
        "--reference-mask", "r.tif", "-j", "3", "--memory", "512M", "--seed", "9",
    )  # fmt: skip
    assert match == MatchOptions(
        bands=(3, 1), reference_bands=(2,), moving_modality=Modality.SAR, reference_modality=None, transform="tps",
        matcher="structural", weights="w.safetensors", device="cuda:1", prior="none", search_radius_m=250.0,
        target_accuracy_m=2.5, exhaustive=True, mask="m.gpkg", reference_mask="r.tif", num_threads=3,
        memory_bytes=512 * 1024**2, seed=9,
    )  # fmt: skip


def test_every_output_option_arrives():
    _, output = parsed(
        "--output-mode", "vrt", "--output-grid", "moving", "--dst-crs", "EPSG:3857", "--resolution", "10",
        "--bbox", "-10", "-5", "3", "4.5", "-r", "cubic", "--dst-nodata", "-9999", "--co", "compress=ZSTD",
        "--co", "BLOCKSIZE=256", "-f", "GTiff", "--overwrite", "--keep-failed",
    )  # fmt: skip
    assert output == OutputOptions(
        mode="vrt", grid="moving", dst_crs="EPSG:3857", resolution=10.0, bbox=(-10.0, -5.0, 3.0, 4.5),
        resampling="cubic", dst_nodata=-9999.0, creation_options={"COMPRESS": "ZSTD", "BLOCKSIZE": "256"},
        driver="GTiff", overwrite=True, keep_failed=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("output", "given", "driver"),
    [
        ("o.tif", None, "COG"), ("o", None, "COG"), (None, None, "COG"), ("a.png/o.TIFF", None, "COG"),
        ("o.png", None, "PNG"), ("o.JP2", None, "JP2OpenJPEG"), ("/vsimem/o.img", None, "HFA"),
        ("o.png", "GTiff", "GTiff"),
    ],
)  # fmt: skip
def test_the_name_says_the_driver_where_none_is_given(output, given, driver):
    assert options.output_options_from({"driver": given}, output).driver == driver


@pytest.mark.parametrize(
    ("text", "size"),
    [("2G", 2 * 1024**3), ("512m", 512 * 1024**2), ("1.5 GiB", 1536 * 1024**2), ("4096", 4096)],
)
def test_sizes(text, size):
    assert parsed("--memory", text)[0].memory_bytes == size


@pytest.mark.parametrize(
    "wrong",
    [
        ("--memory", "lots"), ("--memory", "0G"), ("-j", "-1"), ("-j", "some"), ("--device", "gpu"), ("-b", "0"),
        ("--transform", "rubber"), ("--co", "COMPRESS"), ("--search-radius", "0"), ("--bbox", "1", "2", "3"),
        ("--resolution", "-1"), ("--seed", "-1"),
    ],
)  # fmt: skip
def test_nonsense_is_a_usage_error(wrong):
    done = CliRunner().invoke(everything, wrong, obj=[])
    assert done.exit_code == 2


def test_all_cpus_is_zero():
    assert parsed("-j", "all_cpus")[0].num_threads == 0
