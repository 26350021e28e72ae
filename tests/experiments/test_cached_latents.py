"""Training on cached latents is the training on computed ones, to rounding; caches of something else are refused."""

import json
import shutil

import numpy as np
import pytest

from experiments import ldm, vae
from radiodiff_jax.config_files import read_config
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.training.frozen import read_adopted
from radiodiff_jax.training.latent_cache import cached_latents, check_cacheable
from tests.micro import LDM, SHORT, START, VAE, micro, write_data

CACHED = "data.latents=cached"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached")
    write_data(folder / "data")
    assert vae.main(["--data", str(folder / "data"), "--run", str(folder / "vae"), *VAE, *SHORT, *START]) == 0
    return folder


def train(folder, name, *words):
    """The metrics of a training of four updates."""
    arguments = ["--data", str(folder / "data"), "--vae", str(folder / "vae"), "--run", str(folder / name), *LDM, *SHORT]
    assert ldm.main([*arguments, *words]) == 0
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def runs(folder):
    return train(folder, "computed"), train(folder, "cached", CACHED)


def test_same_training_to_rounding(folder, runs, capsys):
    computed, cached = runs
    assert list(computed) == list(cached) == [1, 2, 3, 4]
    for step in computed:
        for name in ("loss", "loss_c", "loss_noise", "grad_norm"):
            np.testing.assert_allclose(cached[step][name], computed[step][name], rtol=2e-4, err_msg=f"{name} of {step}")
    # and there is less to do, because the encoder is left out
    operations = [
        next(json.loads(line) for line in (folder / name / "events.jsonl").open() if '"compiled"' in line)["flops"]
        for name in ("computed", "cached")
    ]
    assert operations[1] < operations[0]


@pytest.fixture(scope="module")
def latents_of(folder, runs):
    """The cached latents of the training set in a folder, for the settings of the runs."""
    config = read_config(folder / "cached" / "config.yaml")
    generator, frozen = read_adopted(config, folder / "cached")
    source = open_source(folder / "data", "train")
    fingerprint = json.loads((folder / "cached" / "run.json").read_text())["data_fingerprint"]
    return lambda place: cached_latents(place, generator, frozen, source, fingerprint)


def test_every_symmetry_is_kept(folder, latents_of):
    kept = folder / "cached" / "latents"
    files = sorted(path.name for path in kept.iterdir())
    assert files == ["latents.json", *(f"latents_{symmetry}.npy" for symmetry in range(8))]
    dates = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    latents = latents_of(kept)
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == dates, "nothing is computed again"
    found = [latents.read(5, symmetry) for symmetry in range(8)]
    assert {name: part.shape for name, part in found[0].items()} == {"moments": (8, 8, 6), "estimate": (8, 8, 3)}
    assert len({part["moments"].tobytes() for part in found}) == 8, "a turned map is not a turned latent"


def test_missing_files_are_computed_again(folder, latents_of, tmp_path):
    kept = shutil.copytree(folder / "cached" / "latents", tmp_path / "latents")
    before = (kept / "latents_3.npy").read_bytes()
    (kept / "latents_3.npy").unlink()
    latents_of(kept)
    assert (kept / "latents_3.npy").read_bytes() == before


def test_a_flipped_bit_of_a_latent_is_told_where_it_is_read(folder, latents_of, tmp_path):
    kept = shutil.copytree(folder / "cached" / "latents", tmp_path / "latents")
    path = kept / "latents_0.npy"
    good = path.read_bytes()
    for place in (1000, len(good) // 2, len(good) - 2):
        flipped = bytearray(good)
        flipped[place] ^= 16
        path.write_bytes(flipped)
        latents = latents_of(kept)
        with pytest.raises(UserError, match=r"latents_0.npy is damaged in record \d+; remove the folder"):
            for index in range(len(good) // (8 * 8 * 9 * 4)):
                latents.read(index, 0)
    for content in (b"", good[:90], good[: len(good) // 2], b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="latents_0.npy is damaged .*; remove the folder"):
            latents_of(kept)


def test_latents_of_an_older_version_are_read_without_checksums(folder, latents_of, tmp_path):
    kept = shutil.copytree(folder / "cached" / "latents", tmp_path / "latents")
    stored = np.load(kept / "latents_0.npy")["latents"]
    np.save(kept / "latents_0.npy", stored)
    np.testing.assert_array_equal(latents_of(kept).read(3, 0)["moments"], stored[3, ..., :6])
    stored[3, 0, 0, 0] = np.nan
    np.save(kept / "latents_0.npy", stored)
    with pytest.raises(UserError, match="is damaged in record 3"):
        latents_of(kept).read(3, 0)


def test_latents_of_something_else_are_refused(folder, latents_of, tmp_path):
    other = shutil.copytree(folder / "cached" / "latents", tmp_path / "latents")
    facts = json.loads((other / "latents.json").read_text())
    (other / "latents.json").write_text(json.dumps(facts | {"autoencoder": "0", "data": "1"}))
    with pytest.raises(UserError, match="holds latents of another autoencoder and another data; remove it"):
        latents_of(other)
    with pytest.raises(UserError, match="holds other files and no latents"):
        latents_of(folder / "data")


def test_changing_records_cannot_be_cached():
    with pytest.raises(UserError, match="data.mixture changes them"):
        check_cacheable(micro("ldm", CACHED, "data.mixture=IRT2"))
