"""Which formulae of its page a test evaluates: `test_ema.py` belongs to `site_src/derivations/ema.md`, and so on."""

from collections.abc import Callable


def evaluates(*numbers: int) -> Callable[[Callable], Callable]:
    """Mark a test with the numbers (`\\tag{n}`) of the formulae that it evaluates; `test_pages.py` wants all of them."""

    def mark(test: Callable) -> Callable:
        test.formulas = set(numbers)
        return test

    return mark
