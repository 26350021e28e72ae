"""A ray tracer that is missing or does not run is told in one sentence."""

import importlib.util
import subprocess

import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation.raytrace import library
from radiodiff_jax.simulation.raytrace.folder import write_ray_traced_folder


def test_missing_package(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package sionna-rt.*\[raytrace\]"):
        write_ray_traced_folder(tmp_path / "out", ["munich"], 1, 1, (64, 64))
    assert not (tmp_path / "out").exists()


def test_an_llvm_that_aborts_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv(library.LLVM_VARIABLE, "/old/libLLVM-15.so")
    died = subprocess.CompletedProcess([], -6, "", "LLVM ERROR: Cannot select: fmaximum\n  more\nend\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: died)
    with pytest.raises(UserError) as told:
        library.load_ray_tracer()
    sentence = str(told.value)
    assert "/old/libLLVM-15.so (LLVM ERROR: Cannot select: fmaximum)" in sentence
    assert "libllvm19" in sentence and "DRJIT_LIBLLVM_PATH" in sentence and "\n" not in sentence


def test_the_newest_llvm_that_is_not_too_old_is_taken():
    old = ["/lib/libLLVM-14.so.1", "/lib/libLLVM-15.so", "/lib/libLLVM-14.0.6.so.1"]
    assert library.newest_llvm(old) is None
    assert library.newest_llvm([*old, "/lib/libLLVM-16.so.1", "/lib/libLLVM.so.19.1", "/lib/libLLVM.so"]) == "/lib/libLLVM.so.19.1"
