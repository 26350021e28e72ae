"""Files that are not what they should be: every reader says so in one sentence, at once, whatever is in their place."""

import json
import os
import signal
import socket

import numpy as np
import pytest

from experiments.ablation.plan_file import read_plan
from experiments.ablation.results import is_trained, read_state
from experiments.adapt import keep_plan
from experiments.benchmark import read_results
from experiments.models import training_facts
from radiodiff_jax.config_files import read_config, read_yaml
from radiodiff_jax.data.latents import claim_latents, open_latents
from radiodiff_jax.data.packed.builder import build
from radiodiff_jax.data.packed.contents import VERSION
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.calibration import read_calibration
from radiodiff_jax.inference.coverage.parts import claim
from radiodiff_jax.inference.evaluation_files import is_number, read_evaluation
from radiodiff_jax.inference.loading import load_model
from radiodiff_jax.inference.measurements import read_measurements
from radiodiff_jax.radiomapseer import content_digest
from radiodiff_jax.reading import finite_number, read_arrays, read_json_lines, read_table
from radiodiff_jax.reporting.ablation_summary import read_ablation
from radiodiff_jax.reporting.data_pages import read_numbers
from radiodiff_jax.reporting.runs.logs import read_text_log
from radiodiff_jax.reporting.runs.run import read_folder
from radiodiff_jax.simulation.folder import claim_with_record
from radiodiff_jax.training.checkpoint_files import recorded_rmse, saved_steps
from radiodiff_jax.training.encoder import describe_encoder
from radiodiff_jax.training.frozen import describe
from radiodiff_jax.training.run_folder import check_data, check_folder
from radiodiff_jax.training.run_lock import run_lock
from radiodiff_jax.training.start import describe_start
from tests.data.example_folder import write_example_folder

FACTS = {"records": 1, "symmetries": 1}
JSON = {
    "run.json": lambda folder: check_data(folder, "d"),
    "run.json of a model": ("run.json", training_facts),
    "metrics.jsonl": training_facts,
    "events.jsonl": is_trained,
    "calibration.json": read_calibration,
    "autoencoder/latent.json": describe,
    "base/source.json": describe,
    "start/source.json": describe_start,
    "encoder/source.json": describe_encoder,
    "latents.json": lambda folder: claim_latents(folder, FACTS),
    "simulation.json": lambda folder: claim_with_record(folder, "simulation.json", {"version": 1}),
    "state.json": read_state,
    "plan.json": lambda folder: keep_plan(folder, {"seed": 0}),
    "ablation.json": lambda folder: read_ablation(folder / "ablation.json"),
    "evaluation.json": lambda folder: read_evaluation(folder / "evaluation.json"),
    "numbers.json": read_numbers,
    "parts/parts.json": lambda folder: claim(folder, {"version": "1"}),
    "benchmark.json": lambda folder: read_results(folder / "benchmark.json"),
}
OTHERS = {
    "config.yaml": lambda folder: read_config(folder / "config.yaml"),
    "plan.yaml": lambda folder: read_plan(str(folder / "plan.yaml")),
    "measured.csv": lambda folder: read_measurements(folder / "measured.csv", np.zeros((4, 4), bool)),
    "model.safetensors": lambda folder: load_model(folder / "model.safetensors"),
    "arrays.npz": lambda folder: read_arrays(folder / "arrays.npz", None, "make it again"),
    "latents_0.npy": lambda folder: open_latents(folder / "latents_0.npy", None),
    "training.log": lambda folder: read_text_log(folder / "training.log", "log"),
    "0.png": lambda folder: content_digest(folder, [folder / "0.png"]),
    "lock.json": lambda folder: run_lock(folder).__enter__(),
}
ODD = {
    "list": "[]\n", "null": "null\n", "number": "5\n", "text": '"x"\n', "nan": "NaN\n", "nothing": "\n", "half": '{"a": \n',
    "deep list": "[" * 10_000 + "\n", "deep object": '{"a": ' * 10_000 + "1" + "}" * 10_000 + "\n", "no text": b"\xff\xfe\n",
    "long number": f'{{"step": {"9" * 5000}}}\n',
}  # fmt: skip


def socket_at(path):
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


NO_FILE = {
    "pipe": os.mkfifo, "socket": socket_at, "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(), "loop": lambda path: path.symlink_to(path.name),
}  # fmt: skip


@pytest.fixture(autouse=True)
def at_once():
    """Whoever waits for a pipe fails."""

    def late(*_):
        raise TimeoutError("it did not come back within 20 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    told = str(caught.value)
    assert "\n" not in told and ";" in told and all(word in told for word in words), told
    return told


def place_and_reader(folder, name, readers):
    found = readers[name]
    file, read = found if isinstance(found, tuple) else (name, found)
    (folder / file).parent.mkdir(exist_ok=True)
    return folder / file, lambda: read(folder)


@pytest.mark.parametrize("content", ODD)
@pytest.mark.parametrize("name", JSON)
def test_odd_json_is_one_sentence(name, content, tmp_path):
    path, read = place_and_reader(tmp_path, name, JSON)
    path.write_bytes(ODD[content] if isinstance(ODD[content], bytes) else ODD[content].encode())
    refused(read, path.name)


@pytest.mark.parametrize("kind", NO_FILE)
@pytest.mark.parametrize("name", {**JSON, **OTHERS})
def test_what_is_no_file_is_not_read(name, kind, tmp_path):
    path, read = place_and_reader(tmp_path, name, {**JSON, **OTHERS})
    NO_FILE[kind](path)
    refused(read, path.name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", '{"loss": 1}'), ("metrics.jsonl", '{"step": "1"}'), ("metrics.jsonl", '{"step": -1}'),
        ("metrics.jsonl", '{"step": true}'), ("events.jsonl", '{"step": 1}'), ("events.jsonl", '{"step": 1, "event": ["x"]}'),
        ("autoencoder/latent.json", '{"scale": NaN}'), ("autoencoder/latent.json", '{"scale": Infinity}'),
        ("autoencoder/latent.json", '{"scale": "1"}'), ("autoencoder/latent.json", '{"scale": true}'),
        ("autoencoder/latent.json", '{"scale": 0}'), ("autoencoder/latent.json", '{"source": "x"}'),
        ("start/source.json", '{"source": 1, "checkpoint": "best", "digest": ""}'),
        ("state.json", '{"items": {"a": []}, "jobs": {}}'), ("state.json", '{"items": {}, "jobs": {"a": {"seconds": "x"}}}'),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_one_sentence(name, content, tmp_path):
    path, read = place_and_reader(tmp_path, name, JSON)
    path.write_text(content + "\n")
    refused(read, path.name)


YAML = {
    "kind: [1]": "kind is [1]", "kind: vae\ntraining: {steps: 2020-99-99}": "steps", "kind: vae\ntraining: {steps: 0x_}": "steps",
    "kind: !!int foo": "tag", "kind: vae\n---\nkind: vae": "not valid YAML", "kind: vae\nkind: vae": "comes twice",
    "kind: &a [1]\nspace: *a": "stands for another part", f"kind: {'[' * 10_000}": "more than 32 levels",
    f"kind: {'{a: ' * 10_000}": "more than 32 levels", "[1]: 2": "is no name", "kind: !!python/name:os.system": "tag",
    f"kind: vae\ntraining: {{steps: {'9' * 5000}}}": "not valid YAML", "kind: vae\ntraining: [1]": "is a section",
    "kind: vae\nautoencoder: null": "is a section", "- 1": "holds a list", "5": "holds a int", "kind: \0": "not valid YAML",
}  # fmt: skip
BOMB = "a: &a [1, 1]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))


@pytest.mark.parametrize("text", [*YAML, BOMB])
def test_odd_yaml_is_one_sentence(text, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_config(path)
    assert "\n" not in str(caught.value) and YAML.get(text, "stands for another part") in str(caught.value)


def test_large_settings_are_not_read(tmp_path):
    (tmp_path / "c.yaml").write_text(f"kind: {'x' * 2**21}")
    refused(lambda: read_yaml(tmp_path / "c.yaml"), "too large")


def test_plain_settings_are_read_as_they_look(tmp_path):
    (tmp_path / "c.yaml").write_text("a: 1e-4\nb: [1, 2.5, true, null, .inf]\nc: 2020-01-01\n1: yes\nd: '5'\ne: 0x1F\nf: 1_000\n")
    assert read_yaml(tmp_path / "c.yaml") == {
        "a": 1e-4, "b": [1, 2.5, True, None, float("inf")], "c": "2020-01-01", "1": True, "d": "5", "e": 31, "f": 1000,
    }  # fmt: skip


# ---- packed folders ----


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    place = tmp_path_factory.mktemp("odd")
    build(write_example_folder(place / "maps", maps=4), place / "tfds")
    return place / "tfds"


@pytest.fixture
def built(packed, tmp_path):
    """A copy of the packed folder, and its version folder."""
    folder = tmp_path / "tfds" / "radio_maps" / "DPM" / VERSION
    folder.mkdir(parents=True)
    for path in (packed / "radio_maps" / "DPM" / VERSION).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return tmp_path / "tfds", folder


@pytest.mark.parametrize("name", ["radiodiff.json", "features.json", "dataset_info.json"])
def test_odd_files_of_a_packed_folder_are_one_sentence(built, name):
    data, folder = built
    for content in ODD.values():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        refused(lambda: open_source(data, "train"), name)
    for make in NO_FILE.values():
        (folder / name).unlink() if not (folder / name).is_dir() else (folder / name).rmdir()
        make(folder / name)
        refused(lambda: open_source(data, "train"), name)


@pytest.mark.parametrize("place", [(), ("featuresDict", "features", "map"), ("featuresDict", "features", "gain")])
def test_only_our_features_are_let_through(built, place):
    data, folder = built
    told = json.loads((folder / "features.json").read_text())
    where = told
    for key in place:
        where = where[key]
    for name in ("subprocess.Popen", "tensorflow_datasets.core.features.text_feature.Text", ["os.system"]):
        where["pythonClassName"] = name
        (folder / "features.json").write_text(json.dumps(told))
        refused(lambda: open_source(data, "train"), "features.json", "pythonClassName")


@pytest.mark.parametrize("key", ["version", "simulation", "cars", "fingerprint", "image_size", "rule", "records", "maps"])
def test_every_fact_of_a_packed_folder_counts(built, key):
    data, folder = built
    path = folder / "radiodiff.json"
    facts = json.loads(path.read_text())
    others = [None, "x", [], -5, {}]
    for changed in [{name: fact for name, fact in facts.items() if name != key}, *(facts | {key: other} for other in others)]:
        path.write_text(json.dumps(changed))
        refused(lambda: open_source(data, "train"), str(folder))


def test_any_flipped_bit_of_a_packed_file_is_told(built):
    data, folder = built
    (path,) = folder.glob("*train*")
    good = path.read_bytes()
    for place in (0, 200, 5000, len(good) // 2 + 7, len(good) - 9):
        flipped = bytearray(good)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        refused(lambda: list(open_source(data, "train")), "is damaged", path.name)


def test_a_build_without_digests_is_read_and_kept(built, tmp_path):
    data, folder = built
    path = folder / "radiodiff.json"
    facts = json.loads(path.read_text())
    del facts["files"]
    path.write_text(json.dumps(facts))
    assert len(list(open_source(data, "train"))) == facts["records"]["train"]
    write_example_folder(tmp_path / "maps", maps=4)
    assert build(tmp_path / "maps", data) == folder


# ---- what is read with tolerance ----


def test_damaged_records_of_checkpoints_and_odd_names_are_passed_over(tmp_path):
    for name in ("1", "2", "x", "-3", "٣", "007", "9" * 30):
        (tmp_path / name / "meta").mkdir(parents=True)
    meta = {"step": 1, "digests": {}, "data": {}, "rmse": 0.5}
    (tmp_path / "1/meta/metadata").write_text(json.dumps(meta))
    assert saved_steps(tmp_path) == [1, 2]
    for content in ODD.values():
        (tmp_path / "2/meta/metadata").write_bytes(content if isinstance(content, bytes) else content.encode())
        assert recorded_rmse(tmp_path) == {1: 0.5}
    (tmp_path / "2/meta/metadata").write_text(json.dumps(meta | {"rmse": float("nan")}))
    assert recorded_rmse(tmp_path) == {1: 0.5}


@pytest.mark.parametrize("kind", NO_FILE)
def test_a_report_tells_of_what_is_no_file(kind, tmp_path):
    for name in ("config.yaml", "run.json", "metrics.jsonl", "events.jsonl"):
        NO_FILE[kind](tmp_path / name)
    assert len(read_folder(tmp_path).problems) == 4


def test_a_report_takes_numbers_beyond_those_of_the_machine(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        f'{{"step": {"9" * 400}, "loss": 1}}\n{{"step": 1, "loss": {"9" * 400}}}\n{{"step": 2, "x": 1}}\n'
    )
    (tmp_path / "events.jsonl").write_text(f'{{"step": 0, "event": "started", "steps": {"9" * 400}}}\n')
    found = read_folder(tmp_path)
    assert found.last_step == 2 and found.planned is None and list(found.series) == ["x"]
    assert not is_number(10**400) and is_number(10**15)


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "metrics.jsonl", "lock.json", "samples", "checkpoints"])
def test_a_run_folder_with_something_else_in_the_place_of_a_part_is_refused(name, tmp_path):
    (tmp_path / "run").mkdir()
    for make in NO_FILE.values():
        if make is NO_FILE["folder"] and "." not in name:
            continue
        path = tmp_path / "run" / name
        make(path)
        refused(lambda: check_folder(tmp_path / "run"), name, "move it away")
        path.rmdir() if path.is_dir() else path.unlink()


def test_packed_arrays_that_are_a_bomb_or_hold_objects_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(2**20))
    monkeypatch.setattr("radiodiff_jax.reading.ARRAYS_BYTES", 2**20)
    refused(lambda: read_arrays(path, ["a"], "make it again"), "its arrays have more than")
    np.savez(path, a=np.array([{}]))
    refused(lambda: read_arrays(path, ["a"], "make it again"), "is damaged")
    np.savez(path, b=np.zeros(3))
    refused(lambda: read_arrays(path, ["a"], "make it again"), "is damaged")


def test_lines_that_are_no_objects_are_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n[1]\n")
    refused(lambda: read_json_lines(tmp_path / "a.jsonl"), "line 2 is damaged")


def test_numbers_are_plain_digits():
    for text, number in {"5": 5, " -2.5e3 ": -2500, ".5": 0.5, "1.": 1, "+7": 7}.items():
        assert finite_number(text) == number and finite_number(number) == number
    odd = ["", "1_0", "٣", "²", "0x10", "inf", "nan", "1e999", "1,2", "1 2", True, None, [1], float("nan"), 10**400, float("inf")]
    assert [finite_number(value) for value in odd] == [None] * len(odd)


def test_odd_tables_are_one_sentence(tmp_path):
    path = tmp_path / "t.csv"
    for content in (b"a" * 200_000, b"a,b\n\xff", b'"a\n' + b"b" * 200_000):
        path.write_bytes(content)
        refused(lambda: read_table(path, "give another"), "t.csv", "give another")
    path.write_bytes(b"\xef\xbb\xbfa, b\r\n\r\n , \r1,2\r")
    assert read_table(path, "give another") == [(1, ["a", "b"]), (4, ["1", "2"])]
