"""Compilation happens at the start, and never again."""

import dataclasses
import logging

import jax

from radiodiff_jax.training import loop, session
from radiodiff_jax.training.compiled import compile_task
from tests.training.toy import make_config, run_toy


def test_nothing_is_compiled_after_the_first_chores(tmp_path, monkeypatch):
    """Two sessions of one training with validation, pictures and checkpoints at updates 5, 10, ...: each compiles its
    step once, before its first update, and nothing at all once it has done every kind of chore."""
    monkeypatch.setattr(loop, "compile_task", compile_task)  # not the one that tests share
    update, now = session.Session._update, [0]

    def counted(self):
        update(self)
        now[0] = self.step

    monkeypatch.setattr(session.Session, "_update", counted)
    for first, last in ((0, 12), (12, 25)):
        now[0], found = first, []

        class Compilations(logging.Handler):
            def emit(self, record, found=found):
                if "Finished XLA compilation" in record.getMessage():
                    found.append((now[0], record.getMessage()))

        config = make_config(last)
        config = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, schedule="constant"))
        handler = Compilations()
        logging.getLogger("jax").addHandler(handler)
        try:
            with jax.log_compiles():
                run_toy(tmp_path / "run", config, draw_samples=lambda *pictures: None)
        finally:
            logging.getLogger("jax").removeHandler(handler)
        steps = [update for update, text in found if "jit(step)" in text]
        assert steps == [first]
        assert all(update <= first + 5 for update, _ in found), found
