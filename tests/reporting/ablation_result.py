"""A made-up result of an ablation, with numbers that are easy to compute with."""

from typing import Any

MACHINE = {
    "devices": ["2 x cpu"], "processor": "A Processor", "cores": 2, "parallel": 1, "git_commit": "0123456789abcdef",
    "versions": {"radiodiff_jax": "0.2.0", "jax": "0.10"},
}  # fmt: skip


def run(seed: int, error: float, flops: float, ms: float = 5.0, floor: float | None = None, steps: tuple[int, ...] = (1,)) -> dict:
    """A finished run; each further number of steps has 0.001 more error."""
    evaluations = [
        {"split": split, "steps": number, "network_evaluations": number, "radio_maps": 4, "layouts": 2, "ms_per_map": ms,
         "floor": floor, "figures": {"raw/all/rmse": round(error + 0.001 * place, 6), "raw/all/ssim": 0.9, "raw/mae_db": 1.5}}
        for split in ("validation", "test") for place, number in enumerate(steps)
    ]  # fmt: skip
    return {"seed": seed, "state": "finished", "run": f"runs/x-seed{seed}", "updates": 350, "seconds": 70.0, "flops": flops,
            "digest": "0" * 64, "evaluations": evaluations}  # fmt: skip


def item(name: str, runs: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A variant with its runs."""
    return {
        "name": name, "variant": True, "kind": "generator", "preset": "pixel-tiny", "settings": [], "words": ["estimate=path"],
        "vae": None, "start": None, "share": 1.0, "parameters": 400000, "update_flops": 2.5e9, "updates": 350, "how": "given",
        "runs": runs,
    } | changes  # fmt: skip


def ablation_result() -> dict[str, Any]:
    """Five variants over three seeds and a shared autoencoder."""
    plain, wide = [0.020, 0.022, 0.024], [0.018, 0.021, 0.021]
    noisy, flow = [0.018, 0.025, 0.0215], [0.023, 0.025, 0.027]
    return {
        "version": 1, "name": "micro", "title": "A micro comparison", "question": "Which is better?", "profile": None,
        "command": "python -m experiments.ablate --plan micro", "data": "data", "hardware": MACHINE,
        "budget": {"kind": "updates", "amount": 350.0}, "seeds": [0, 1, 2], "reference": "plain",
        "baselines": {"test": {"distance law": {"raw/all/rmse": 0.1}, "line-of-sight estimate": {"raw/all/rmse": 0.03},
                               "path estimate": {"raw/all/rmse": 0.023}}},
        "items": [
            item("coder", [run(0, 0.012, 4e12)], variant=False, kind="vae", share=2.0),
            item("plain", [run(seed, error, 1e12) for seed, error in enumerate(plain)]),
            item("wide", [run(seed, error, 2e12, ms) for seed, (error, ms) in enumerate(zip(wide, (3, 9, 4), strict=True))],
                 settings=["backbone.widths=[24, 32]"]),
            item("noisy", [run(seed, error, 1e12, floor=0.012) for seed, error in enumerate(noisy)], vae="coder"),
            item("flow", [run(seed, error, 0.5e12, steps=(1, 5)) for seed, error in enumerate(flow)], start="plain", share=0.5),
            item("single", [run(0, 0.04, 1e12), {"seed": 1, "state": "failed", "run": "runs/y", "reason": "it blew up"},
                            {"seed": 2, "state": "waiting", "run": "runs/z"}]),
        ],
    }  # fmt: skip
