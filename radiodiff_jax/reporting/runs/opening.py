"""What a run's page opens with: that it crashed, what its evaluation found, or why nobody knows how good it is.

A run that crashed is never introduced by its progress, one without evaluation never by its losses, and one with a handful
of validations is told that they are too few to say where it goes.
"""

from radiodiff_jax.reporting.markdown import code, count, counted, decibels, number, plain
from radiodiff_jax.reporting.runs.analysis import of_last_phase, phase_name, state
from radiodiff_jax.reporting.runs.crashes import crash_cause, last_words
from radiodiff_jax.reporting.runs.rules import ENOUGH_VALIDATIONS
from radiodiff_jax.reporting.runs.run import RUN_FOLDER, Run
from radiodiff_jax.reporting.runs.verdict import UNKNOWN, Verdict, run_verdict


def opening_verdict(run: Run, now: float | None = None) -> Verdict:
    """The first box of a run's page. `now` is in seconds since 1970."""
    judged, crashed = run_verdict(run), crash_verdict(run, now)
    if crashed is not None and (judged is None or judged.short == UNKNOWN):
        more = judged.sentences if judged is not None else []
        return crashed._replace(sentences=[*crashed.sentences, *more])
    if judged is None:
        return log_verdict(run)
    more = [f"{plain(crashed.title)}. {crashed.sentences[-1]}"] if crashed is not None else []
    if judged.short == UNKNOWN:
        more += [one for one in (few_validations(run),) if one]
    kind = "warning" if crashed is not None and judged.kind == "success" else judged.kind
    return judged._replace(kind=kind, sentences=[*more, *judged.sentences])


def crash_verdict(run: Run, now: float | None = None) -> Verdict | None:
    """That the training ended by an error; None where it did not."""
    if state(run, now).word != "failed":
        return None
    reason = last_words(run)
    cause, cure = crash_cause(reason)
    planned = f" of {count(run.planned)}" if run.planned else ""
    title = f"Crashed after {count(run.last_step)}{planned} steps: {cause}"
    return Verdict("danger", title, [f"Its last words: {code(reason)}.", cure], f"crashed: {cause}")


def log_verdict(run: Run) -> Verdict:
    """What can be said of a log, which holds no evaluation."""
    sentences = [
        "A log holds losses, which say whether a training goes on, and no error in dB on cities that it has not seen. "
        f"For that {code('python -m experiments.weights import')} its checkpoint, then "
        f"{code('python -m experiments.evaluate')}."
    ]
    few = few_validations(run) if any(name.startswith("validation/") for name in run.series) else ""
    return Verdict("note", "Not evaluated: a log does not say how good the model is",
                   [*([few] if few else []), *sentences], UNKNOWN)  # fmt: skip


def few_validations(run: Run) -> str:
    """That the validations are too few to say where the training goes, with their number; "" where they are enough."""
    series = of_last_phase(run.metric("validation/rmse"))
    if len(series) >= ENOUGH_VALIDATIONS or not run.series:
        return ""
    phase = f" of its phase {phase_name(str(series.phases[-1]))}" if len(series) and series.phases[-1] else ""
    if not len(series):
        said = "No validation has been logged, so nothing is known of maps that it has not seen."
    else:
        last = float(series.values[-1])
        said = (f"{counted(len(series), 'validation')}{phase} {'is' if len(series) == 1 else 'are'} too few to say whether it "
                f"still improves or has begun to overfit (at least {ENOUGH_VALIDATIONS}); the newest has an RMSE of "
                f"{decibels(last)} ({number(last)}).")  # fmt: skip
    often = max(run.last_step // (2 * ENOUGH_VALIDATIONS), 1)
    how = f" Validate more often next time, say {code(f'training.validate_every={often}')}." if run.origin == RUN_FOLDER else ""
    return said + how
