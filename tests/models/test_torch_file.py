"""PyTorch's files without PyTorch: what torch.save writes is read, and nothing else gets anywhere."""

import io
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict

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
    ],
)
def test_what_would_run_code_is_refused_and_does_not(tmp_path, gadget):
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", gadget(mark))
    with pytest.raises(UserError, match="evil.pt is (refused|damaged)") as told:
        read_torch_file(path)
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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda e: e.pop("archive/data/0"), "storage '0' of a tensor is not there"),
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


def test_a_path_outside_and_a_bomb_do_nothing(tmp_path):
    save_like_torch(tmp_path / "good.pt", CHECKPOINT)
    outside = rewritten(tmp_path / "good.pt", tmp_path / "outside.pt", lambda e: e.update({"archive/../../mark": b"x"}))
    same(read_torch_file(outside), CHECKPOINT)  # nothing is unpacked, so nothing gets there
    assert not (tmp_path / "mark").exists() and not (tmp_path.parent / "mark").exists()
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"." * 10**7)
    with pytest.raises(UserError, match="compressed"):
        read_torch_file(tmp_path / "bomb.pt")
    for path, content in ((tmp_path / "text.pt", b"hello"), (tmp_path / "empty.pt", b"")):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no ZIP archive"):
            read_torch_file(path)
    with pytest.raises(UserError, match="there is no file"):
        read_torch_file(tmp_path / "missing.pt")


def test_200_fuzzed_files_are_told_in_one_sentence(tmp_path):
    save_like_torch(tmp_path / "good.pt", CHECKPOINT)
    good, random = (tmp_path / "good.pt").read_bytes(), np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "good.pt") as archive:
        described = archive.read("archive/data.pkl")
    refused = 0
    for number in range(200):
        path = tmp_path / "fuzzed.pt"
        if number % 2:  # bytes of the archive
            content = bytearray(good)
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
