"""PyTorch's files without PyTorch: what torch.save writes is read, and nothing else gets anywhere."""

import io
import os
import pickle
import resource
import subprocess
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.models.torch_file import read_torch_file
from tests.torch_pickles import save_like_torch

STATE = OrderedDict([
    ("weight", np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)),
    ("bias", np.array([1.5, -2.0], np.float64)),
    ("count", np.array(7, np.int64)),
    ("none", np.zeros((0, 4), np.float32)),
])  # fmt: skip
CHECKPOINT = {"step": 1200, "model": STATE, "ema": OrderedDict([("ema_model.weight", np.ones((2, 2), np.float16))]),
              "opt": {"param_groups": [{"lr": 1e-4, "betas": (0.9, 0.99), "foreach": None, "params": [0, 1]}]}}  # fmt: skip


def same(found, expected):
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            same(found[name], expected[name])
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected) and len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            same(*pair)
    else:
        np.testing.assert_array_equal(found, expected)
        if isinstance(expected, np.ndarray):
            assert found.dtype == expected.dtype and found.shape == expected.shape


def test_what_was_saved_is_read(tmp_path):
    path = tmp_path / "model-1.pt"
    save_like_torch(path, CHECKPOINT)
    same(read_torch_file(path), CHECKPOINT)


def test_views_of_one_storage_and_other_strides(tmp_path):
    base = np.arange(12, dtype=np.float32)
    path = tmp_path / "views.pt"
    save_like_torch(path, {"transposed": (base, 0, (4, 3), (1, 4)), "part": (base, 5, (2, 2), (3, 1)), "one": (base, 7, (), ())})
    found = read_torch_file(path)
    np.testing.assert_array_equal(found["transposed"], base.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [[5, 6], [8, 9]])
    assert found["one"] == 7 and found["one"].flags.owndata


GOLDEN = Path(__file__).parents[1] / "golden"  # by make_torchvision.py there


MARK = 0x1950A86A20F9469CFC6C


def pickles(*values):
    """What a stream begins with."""
    return b"".join(pickle.dumps(value, 2) for value in values)


@pytest.mark.parametrize("name", ["checkpoint.pt", "checkpoint_stream.pt"])
def test_files_that_pytorch_wrote_are_read(name):
    """As a ZIP archive, and as the stream of before PyTorch 1.6, in which torchvision's older weights are."""
    found = read_torch_file(GOLDEN / name)
    assert found["step"] == 7 and found["size"] == (2, 3) and found["text"] == "a" and found["none"] is None
    assert list(found["model"]) == ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
                                    "1.num_batches_tracked"]  # fmt: skip
    assert found["model"]["0.weight"].shape == (2, 1, 3, 3) and found["model"]["1.num_batches_tracked"] == 1
    np.testing.assert_allclose(found["model"]["1.running_var"], 0.9, atol=0.2)
    assert found["opt"]["param_groups"][0]["lr"] == 1e-3 and found["opt"]["state"][0]["exp_avg"].shape == (2, 1, 3, 3)
    for kind, values in found["kinds"].items():
        assert values.dtype == {"bfloat16": "float32"}.get(kind, kind)
        np.testing.assert_array_equal(values, np.arange(3).astype(values.dtype))
    numbers = np.arange(12.0)
    views = {"transposed": numbers.reshape(3, 4).T, "part": numbers[5:9].reshape(2, 2), "scalar": numbers[7], "empty": numbers[:0]}
    for view, expected in views.items():
        np.testing.assert_array_equal(found["views"][view], expected)
    np.testing.assert_array_equal(found["parameter"], np.ones((2, 3)))


def test_streams_that_are_not_whole_are_told(tmp_path):
    good, path = (GOLDEN / "checkpoint_stream.pt").read_bytes(), tmp_path / "cut.pt"
    assert good.startswith(pickles(MARK))
    wrong = [
        (good[:-1], "is refused: a storage of .* values is said, but there are"),
        (good[:-9], "cut.pt is (refused|damaged)"),
        (good[:400], "cut.pt is damaged"),
        (pickles(MARK, 1000, {}), "in a format of version 1000; load and save it again"),
        (pickles(MARK, 1001, {"little_endian": False}), "big-endian"),
        (pickles(MARK, 1001, {}, {"a": 1}, ["5"]), "not those that it names"),
    ]
    for content, sentence in wrong:
        path.write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            read_torch_file(path)


class Gadget:
    """What pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Built:
    """What pickles as a global with a state, which BUILD would set."""

    def __init__(self, state):
        self.__dict__.update(state)


def stack_global(module, name, argument):
    """A protocol 4 pickle that calls module.name(argument), written by hand."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + texts + b"\x93\x8c" + bytes([len(argument)]) + argument.encode() + b"\x85R."


@pytest.mark.parametrize(
    "gadget",
    [
        lambda mark: pickle.dumps({"model": Gadget(os.system, f"touch {mark}")}),
        lambda mark: pickle.dumps(Gadget(eval, f"open({str(mark)!r}, 'w')")),
        lambda mark: pickle.dumps([Gadget(subprocess.check_call, ["touch", str(mark)])]),
        lambda mark: pickle.dumps(Built({"inner": Gadget(exec, f"open({str(mark)!r}, 'w')")}), 2),
        lambda mark: stack_global("os", "system", f"touch {mark}"),
        lambda mark: stack_global("torch._utils", "_rebuild_tensor_v2.__globals__", "x"),
        lambda mark: b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR.",
        lambda mark: b"ctorch\nFloatStorage\n(I1\ntR.",  # the kind of a storage is no function
        lambda mark: b"ccollections\nOrderedDict\n(I5\ntR.",
        lambda mark: b"\x80\x02U\x04textQ.",  # a reference to something that is no storage
        lambda mark: b"(i__main__\nTest\n.",
        lambda mark: b"ctorch._utils\n_rebuild_parameter\n}(U\x0c__defaults__)ub.",  # a function of ours with other defaults
        lambda mark: b"\x80\x02ccollections\nOrderedDict\n)R}U\x05itemscbuiltins\neval\nsb.",
        lambda mark: b"\x80\x02\x82\x01.",  # an extension of copyreg
        lambda mark: b"\x80\x02ctorch\nSize\nI1\n\x85\x81.",
    ],
)
def test_what_would_run_code_is_refused_and_does_not(tmp_path, gadget):
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", gadget(mark))
    (tmp_path / "evil_stream.pt").write_bytes(pickles(MARK, 1001, {}) + gadget(mark) + pickles([]))
    for file in (path, tmp_path / "evil_stream.pt"):
        with pytest.raises(UserError, match=r"evil\w*.pt is (refused|damaged)") as told:
            read_torch_file(file)
        assert not mark.exists() and "\n" not in str(told.value)


def rewritten(path, target, change):
    """A copy of an archive with its entries {name: bytes} changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return target


def ten_gigabytes(entries):
    """The pickle of an archive in which the first storage is said to have 10 GB."""
    return entries["archive/data.pkl"].replace(b"K\x18t", b"\x8a\x05" + (10 * 2**30 // 4).to_bytes(5, "little") + b"t", 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda e: e.pop("archive/data/0"), "storage '0' of a tensor is not there"),
        (lambda e: e.update({"archive/data.pkl": ten_gigabytes(e)}), "2,684,354,560 values is said, but there are 96 bytes"),
        (lambda e: e.update({"archive/../../mark": b"x"}), "an entry outside 'archive/'"),
        (lambda e: e.update({"/mark": b"x"}), "an entry outside 'archive/'"),
        (lambda e: e.update({"archive/data/0": b"short"}), "24 values is said, but there are 5 bytes"),
        (lambda e: e.update({"other/data.pkl": b"."}), "no single NAME/data.pkl"),
        (lambda e: e.update({"archive/byteorder": b"big"}), "big-endian"),
        (lambda e: e.update({"archive/data.pkl": e["archive/data.pkl"][:-9]}), "is damaged"),
        (lambda e: e.update({"archive/data.pkl": b"(" * 50_000 + b"l" * 50_000 + b"."}), "refused|damaged"),
    ],
)
def test_archives_that_are_not_whole_are_refused(tmp_path, change, sentence):
    save_like_torch(tmp_path / "good.pt", CHECKPOINT)
    with pytest.raises(UserError, match=sentence):
        read_torch_file(rewritten(tmp_path / "good.pt", tmp_path / "bad.pt", change))


def test_tensors_larger_than_their_storage_are_refused(tmp_path):
    base = np.zeros(4, np.float32)
    views = [(0, (5,), (1,)), (2, (3,), (1,)), (0, (10**9, 10**9), (0, 0)), (4, (), ()), (0, (2,), (1, 1)), (0, (-1,), (1,))]
    for number, view in enumerate((base, *view) for view in views):
        save_like_torch(tmp_path / f"{number}.pt", {"x": view})
        with pytest.raises(UserError, match="is refused"):
            read_torch_file(tmp_path / f"{number}.pt")


@pytest.mark.parametrize(
    ("pickled", "sentence"),
    [
        (b"\x80\x02Nr\xff\xff\xff\xff.", None),  # 34 GB of memo to the interpreter in C
        (b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (n + 1, n, n) for n in range(60)) + b".", None),
        (b"\x80\x02)q\x00" + b"".join(b"0h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)) + b"}h\x3cNs.", "a key is a tuple"),
        (b"\x80\x02]q\x00h\x00a.", "nested deeper than 64"),  # a list that holds itself
        (b"\x80\x02" + b"N" * (8 * 2**20) + b".", "more than 8,388,608"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f1.", "damaged|refused"),  # a number of 2 GB
    ],
)
def test_few_bytes_take_neither_memory_nor_time(tmp_path, pickled, sentence):
    with zipfile.ZipFile(tmp_path / "small.pt", "w") as archive:
        archive.writestr("small/data.pkl", pickled)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if sentence is None:
        read_torch_file(tmp_path / "small.pt")
    else:
        with pytest.raises(UserError, match=sentence):
            read_torch_file(tmp_path / "small.pt")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000 and time.process_time() - start < 20


def test_many_tensors_of_one_storage_are_refused(tmp_path):
    """A file of 1 MB must not become a terabyte."""
    base = np.zeros(250_000, np.float32)
    save_like_torch(tmp_path / "many.pt", {str(number): (base, 0, (250_000,), (1,)) for number in range(30)})
    with pytest.raises(UserError, match="more than 8 times as large as the file"):
        read_torch_file(tmp_path / "many.pt")


def test_compressed_archives_and_other_files_are_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"." * 10**7)
    with pytest.raises(UserError, match="compressed"):
        read_torch_file(tmp_path / "bomb.pt")
    for path, content in ((tmp_path / "text.pt", b"hello"), (tmp_path / "empty.pt", b"")):
        path.write_bytes(content)
        with pytest.raises(UserError, match="nothing that torch.save wrote"):
            read_torch_file(path)
    with pytest.raises(UserError, match="there is no file"):
        read_torch_file(tmp_path / "missing.pt")


def test_200_fuzzed_files_are_told_in_one_sentence(tmp_path):
    save_like_torch(tmp_path / "good.pt", CHECKPOINT)
    good, random = (tmp_path / "good.pt").read_bytes(), np.random.default_rng(0)
    stream = (GOLDEN / "checkpoint_stream.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "good.pt") as archive:
        described = archive.read("archive/data.pkl")
    refused = 0
    for number in range(200):
        path = tmp_path / "fuzzed.pt"
        if number % 2:  # bytes of the archive, or of a stream
            content = bytearray(good if number % 8 < 4 else stream)
            for place in random.integers(len(content), size=int(random.integers(1, 20))):
                content[place] = random.integers(256)
            path.write_bytes(content[: len(content) if number % 4 == 1 else int(random.integers(len(content)))])
        else:  # instructions of the pickle, in an archive that is whole
            changed = bytearray(described)
            for place in random.integers(len(changed), size=int(random.integers(1, 8))):
                changed[place] = random.integers(256)
            rewritten(tmp_path / "good.pt", path, lambda e, changed=changed: e.update({"archive/data.pkl": bytes(changed)}))
        try:
            read_torch_file(path)
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


def test_the_pickles_of_these_tests_are_torchs(tmp_path):
    """The writer of these tests says what torch.save says: the names in its pickle are those of PyTorch."""
    buffer = tmp_path / "names.pt"
    save_like_torch(buffer, CHECKPOINT)
    with zipfile.ZipFile(buffer) as archive:
        text = archive.read("archive/data.pkl")
    for name in (b"torch._utils\n_rebuild_tensor_v2", b"torch\nFloatStorage", b"collections\nOrderedDict"):
        assert name in text
    assert io.BytesIO(text).read(2) == b"\x80\x02"
