"""What was measured, in one page: OUT/summary.md from the files of the parts, of which any may be missing.

python -m benchmarks.gpu.summary --out results/gpu
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embudget.files import write_whole

Part = dict[str, Any]


def main() -> None:
    """Write the page and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    page = summarised(options.out)
    write_whole(options.out / "summary.md", page)
    sys.stdout.write(page)


def summarised(out: Path) -> str:
    """The page in Markdown."""
    parts: dict[str, tuple[str, Callable[[Part], list[str]]]] = {
        "machine": ("Machine", _machine),
        "tests": ("Tests", _tests),
        "speed": ("Speed and memory of a step", _speed),
        "study": ("A study", _study),
    }
    lines = ["# Measured on a GPU by `benchmarks/gpu.sh`"]
    for name, (title, written) in parts.items():
        file = out / f"{name}.json"
        there = json.loads(file.read_text()) if file.exists() else None
        lines += ["", f"## {title}", ""] + (["Not measured."] if there is None else written(there))
    return "\n".join(lines) + "\n"


def _machine(part: Part) -> list[str]:
    memory = part["memory_bytes"]
    lines = [
        f"- {part['device']}, {'' if memory is None else f'{memory / 1e9:.0f} GB, '}{part['date']}",
        f"- bare products: {part['bf16_product_tflops']:.3g} TFLOP/s in bf16, "
        f"{part['float32_product_tflops']:.3g} in float32; published for bf16: {part['published_tflops']}",
        f"- torch {part['versions'].get('torch')}, transformers {part['versions'].get('transformers')}, "
        f"sentence-transformers {part['versions'].get('sentence-transformers')}, Python {part['python']}",
    ]
    return lines + [f"- not as required: {line}" for line in part["unmet"]]


def _tests(part: Part) -> list[str]:
    counted = ", ".join(f"{count} {outcome}" for outcome, count in part["counts"].items())
    troubled = {name: one for name, one in part["tests"].items() if one["outcome"] != "passed"}
    reasons = [f"- {one['outcome']}: `{name}`: {_last_line(one.get('reason', ''))}" for name, one in troubled.items()]
    return [f"{counted}.", *([""] if reasons else []), *reasons]


def _speed(part: Part) -> list[str]:
    measured = [cell for cell in part["cells"] if "ratio" in cell]
    memory = [found for cell in measured for found in cell["memory"].values() if "close" in found]
    close = sum(found["close"] for found in memory)
    lines = [
        "Tokens/s ours, with the best chunks, and by sentence-transformers; MFU over the published peak; the estimate "
        "of memory over the measured peak, with gradients cached and without.",
        "",
        "| model | method | batch | ours | best chunks | theirs | ours / theirs | MFU | best MFU | cached | direct |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *map(_cell, measured),
        "",
        f"The estimate of memory was within 15 % of the peak in {close} of {len(memory)} steps.",
    ]
    for cell in part["cells"]:
        if reason := cell.get("error") or cell.get("left_out"):
            lines.append(f"- {cell['model']} {cell['method']} {cell['batch_size']}: {reason}")
    return lines


def _cell(cell: Part) -> str:
    speed, mfu, memory = cell["tokens_per_second"], cell["mfu"] or {}, cell["memory"]
    larger = "ours, larger chunks"
    return "| " + " | ".join([
        cell["model"], cell["method"], str(cell["batch_size"]), f"{speed['ours']:,}",
        f"{speed[larger]:,} ({cell['best_chunk_tokens']})", f"{speed['theirs']:,} ({cell['best_of_theirs']})",
        str(cell["ratio"]), str(mfu.get("ours", "-")), str(mfu.get(larger, "-")),
        *(str(memory[way].get("estimate_over_peak", "out of memory")) for way in ("cached", "direct")),
    ]) + " |"  # fmt: skip


def _study(part: Part) -> list[str]:
    lines = [
        f"- {', '.join(part['models'])}; {', '.join(part['methods'])}; {part['runs']} runs of batch "
        f"{part['batch_size']} at {', '.join(f'{budget:.3g}' for budget in part['budgets'])} FLOP, "
        f"{part['train_flops']:.3g} in all; {len(part['left_out'])} left out",
    ]
    if "seconds" not in part:
        return [*lines, f"- expected to take {part['expected_seconds']:.0f} s; it did not end in time"]
    utilised = part["mfu_of_study"]
    lines += [
        f"- {part['seconds']:.0f} s, expected {part['expected_seconds']:.0f}; {part['tflops_per_second']:.3g} TFLOP/s"
        + ("" if utilised is None else f", {utilised:.1%} of the published peak, loading and measuring included"),
        "- " + ", ".join(f"{count} {status}" for status, count in part["statuses"].items()),
        *(f"- failed: {error}" for error in part["errors"]),
        *(f"- best at {budget} FLOP: {best}" for budget, best in part["best"].items()),
    ]
    return [*lines, "", "```text", part["laws"].rstrip(), "```"]


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""


if __name__ == "__main__":
    main()
