"""Files are written whole or not at all, and what is in the way is told before work begins."""

import contextlib
import os
import resource
import signal

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import (
    TEMPORARY,
    UnwritableError,
    is_written,
    kind_of,
    output_folder,
    output_path,
    telling_what_is_in_the_way,
    write_json,
    write_text,
    write_whole,
    written_together,
)
from radiodiff_jax.limits import BATCH, MAPS, SIDE, check_batch, check_most


def a_file(folder):
    (folder / "file").write_text("x")
    return folder / "file"


IN_THE_WAY = {
    "folder": lambda folder: (folder / "o").mkdir() or folder / "o",
    "parent is a file": lambda folder: a_file(folder) / "o",
    "grandparent is a file": lambda folder: a_file(folder) / "a" / "o",
    "loop": lambda folder: (folder / "o").symlink_to("o") or folder / "o",
    "loop above": lambda folder: (folder / "l").symlink_to("l") or folder / "l" / "o",
    "dangling link": lambda folder: (folder / "o").symlink_to("nowhere") or folder / "o",
    "dangling link above": lambda folder: (folder / "l").symlink_to("nowhere") or folder / "l" / "o",
    "long name": lambda folder: folder / ("n" * 300),
    "long name in a new folder": lambda folder: folder / "new" / ("n" * 300),
    "long path": lambda folder: folder.joinpath(*["d" * 200] * 30, "o"),
    "pipe": lambda folder: os.mkfifo(folder / "o") or folder / "o",
    "link to a device": lambda folder: (folder / "o").symlink_to("/dev/null") or folder / "o",
    "proc": lambda _: "/proc/o",
    "below proc": lambda _: "/proc/1/task/o",
    "below a device": lambda _: "/dev/full/o",
    "zero byte": lambda folder: f"{folder}/a\0b",
}


def left_over(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)]


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_is_in_the_way_of_a_file_is_one_sentence(kind, tmp_path):
    path = IN_THE_WAY[kind](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        output_path(path)
    assert "\n" not in str(caught.value) and ";" in str(caught.value) and sorted(tmp_path.rglob("*")) == before
    if kind not in ("zero byte", "pipe"):  # which a rename replaces
        with pytest.raises(UnwritableError, match="cannot be written"):
            write_text(path, "x")
    assert not left_over(tmp_path)


@pytest.mark.parametrize("kind", [name for name in IN_THE_WAY if name != "folder"])
def test_what_is_in_the_way_of_a_folder_is_one_sentence(kind, tmp_path):
    with pytest.raises(UserError, match=";"):
        output_folder(IN_THE_WAY[kind](tmp_path))
    with pytest.raises(UserError, match="it is a file; name another folder"):
        output_folder(a_file(tmp_path))
    assert not left_over(tmp_path)


def test_what_can_be_written_is_let_through_and_nothing_is_made(tmp_path):
    (tmp_path / "there").mkdir()
    a_file(tmp_path)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder link").symlink_to("there")
    before = sorted(tmp_path.rglob("*"))
    for name in ("new", "file", "link", "there/new", "a/b/c/new", "folder link/new", "n" * 255):
        assert output_path(tmp_path / name) == tmp_path / name
    for name in ("new", "there", "folder link", "a/b"):
        assert output_folder(tmp_path / name) == tmp_path / name
    assert sorted(tmp_path.rglob("*")) == before
    assert [kind_of(tmp_path / name) for name in ("file", "there", "none")] == ["a file", "a folder", None]


def test_a_link_to_a_file_stays_a_link(tmp_path):
    a_file(tmp_path)
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


@contextlib.contextmanager
def no_room(most):
    """Files may have so many bytes and no more, as on a disk that is nearly full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with no_room(100), pytest.raises(UserError, match="the disk is full: .*a.json cannot be written; make room"):
        write_json(tmp_path / "a.json", ["x" * 1000])
    assert (tmp_path / "a.json").read_text() == "[1]\n" and not left_over(tmp_path)


def test_a_full_disk_in_the_words_of_a_library_is_told_too(tmp_path):
    def write(_):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(UserError, match="the disk is full: .*a.safetensors cannot be written"):
        write_whole(tmp_path / "a.safetensors", write)
    with pytest.raises(RuntimeError, match="other"), telling_what_is_in_the_way(tmp_path):
        raise RuntimeError("other")


def test_files_that_belong_together_are_written_all_or_none(tmp_path):
    one, two, three = tmp_path / "a" / "1.png", tmp_path / "2.npy", tmp_path / "3.png"
    with written_together([one, two, three]) as places:
        assert not one.exists() and places[one].name == "1.png"
        write_text(places[one], "one")
        np.save(places[two], np.zeros(3))
    assert one.read_text() == "one" and two.is_file() and not three.exists() and not left_over(tmp_path)
    with pytest.raises(ValueError, match="halfway"), written_together([one, three]) as places:
        write_text(places[one], "other")
        write_text(places[three], "three")
        raise ValueError("halfway")
    assert one.read_text() == "one" and not three.exists() and not left_over(tmp_path)
    with no_room(100), pytest.raises(UserError, match="disk is full"), written_together([one, three]) as places:
        write_text(places[one], "other")
        write_text(places[three], "3" * 1000)
    assert one.read_text() == "one" and not three.exists() and not left_over(tmp_path)


def test_what_gets_in_the_way_meanwhile_undoes_what_was_written(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("before")
    with pytest.raises(UserError, match="2 cannot be written"), written_together([one, two]) as places:
        for place in places.values():
            place.write_text("new")
        two.mkdir()
    assert one.read_text() == "before" and two.is_dir() and not left_over(tmp_path)
    with pytest.raises(ValueError, match="halfway"), written_together([tmp_path / "a" / "b" / "1"]):
        raise ValueError("halfway")
    assert not (tmp_path / "a").exists()


def test_one_place_for_two_files_is_told(tmp_path):
    with pytest.raises(UserError, match="written twice"), written_together([tmp_path / "a", tmp_path / "b" / ".." / "a"]):
        pass


def test_a_file_counts_as_written_only_if_it_is_a_file_with_something_in_it(tmp_path):
    assert is_written(a_file(tmp_path)) and not is_written(tmp_path / "none") and not is_written(tmp_path / "file" / "below")
    (tmp_path / "empty").touch()  # as a crash leaves a file that was renamed and not yet stored
    assert not is_written(tmp_path / "empty")
    for kind in ("folder", "loop", "dangling link", "pipe"):
        path = IN_THE_WAY[kind](tmp_path)
        with pytest.raises(UserError, match="should be a file, but it is in the way as something else .*; remove it"):
            is_written(path)
        path.rmdir() if path.is_dir() else path.unlink()


def test_what_is_read_is_not_written_over(tmp_path):
    given = a_file(tmp_path)
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link", "x/../file"):
        with pytest.raises(UserError, match="is what is read"):
            output_path(tmp_path / name, [None, given])
    with pytest.raises(UserError, match="is what is read"), written_together([tmp_path / "new", given], [given]):
        pass
    assert given.read_text() == "x" and not left_over(tmp_path)


def test_numbers_beyond_the_table_of_limits_are_told():
    check_most("the number of maps", MAPS, MAPS)
    check_batch(8, (256, 256))
    for call, number in (
        (lambda: check_most("the number of maps", 10**9, MAPS), "1000000000"),
        (lambda: check_batch(10**8, (32, 32)), "100000000"),
        (lambda: check_batch(BATCH, (SIDE, SIDE)), str(BATCH)),
        (lambda: check_batch(1, (320_000, 320_000)), "320000"),
    ):
        with pytest.raises(UserError, match=f"{number}.* too large") as caught:
            call()
        assert caught.value.exit_code == 2
