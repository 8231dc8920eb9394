#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count the cycles of a step with each kernel set on a Cortex-M0+ (RP2040), without a board: docs/measuring.md.

Usage: cycles.py [--kernels NAME]... [--inputs I] [--hidden H] [--outputs O] [--c] [--uf2 PATH [--source]]
       cycles.py --model FILE [--kernels NAME]...

mpy-cross compiles the viper and assembler kernels, and the core of an emulated RP2040 runs their machine code. The tool
compares every step with the plain kernels. It prints the cycles of a step and of each function, and a fit over several
sizes of GRU: step = fixed + mac * MACs + unit * H.
--model FILE  count the steps of this model file only, whatever its cells
--c           also count the same step in C, compiled for the same core by arm-none-eabi-gcc -O2
--uf2 PATH    also time whole steps on the emulated RP2040 with this MicroPython firmware, the interpreter included
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from shared import records
from shared.records import Record
from tinyrnn.emulation.step_cycles import (
    HIDDEN,
    STEPS,
    WARM,
    Counted,
    Size,
    count,
    fit,
    in_c,
    kernel_sets,
    on_core,
    on_firmware,
    samples,
)
from tinyrnn.errors import TinyrnnError

SLOW_HIDDEN = (16, 32, 48, 64)  # sizes of the fit for kernel sets without machine code, whose emulation takes minutes
CLOCK_MHZ = 125
EXPLAINED = f"""per_mac: cycles_step / MACs. slope: cycles per MAC between the two largest sizes of the fit.
mac, unit, fixed: cycles_step = mac * MACs + unit * H + fixed, by least squares, H = {", ".join(map(str, HIDDEN))};
without machine code H = {", ".join(map(str, SLOW_HIDDEN))}.
core: machine code only. C: the whole step. firmware: the whole net.step(), with the interpreter."""


def row(where: str, kernels: str, size: Size, sizes: Sequence[Size], step: Callable[[Size], float]) -> Record:
    """One row of the table. step(size) gives the cycles of a step."""
    model = fit(sizes, step)
    cycles = step(size)
    return {
        "where": where,
        "kernels": kernels,
        "cycles_step": round(cycles),
        "us_step": cycles / CLOCK_MHZ,
        "per_mac": cycles / size.macs,
        "slope": model.slope,
        "mac": model.per_mac,
        "unit": model.per_unit,
        "fixed": round(model.fixed),
    }


def parts(kernels: str, counted: Counted) -> list[Record]:
    """One row for each function of a step, and one for each runtime function that they call."""
    found: list[Record] = []
    for name, (cycles, calls) in counted.parts.items():
        found.append({"kernels": kernels, "function": name, "cycles": round(cycles), "calls": calls})
    for name, calls in counted.asked.items():
        found.append({"kernels": kernels, "function": f"runtime's {name}", "cycles": 0, "calls": calls})
    return found


def of_model(file: Path, chosen: list[str]) -> None:
    """Print the cycles of a step of one model file."""
    import urnn

    try:
        data = file.read_bytes()
        inputs = urnn.load(bytearray(data), kernels="plain").inputs
    except (OSError, ValueError) as error:
        raise TinyrnnError(f"{file}: {error}: expected a .urnn model file") from None
    found: list[Record] = []
    lines: list[Record] = []
    for kernels in chosen:
        counted = count(kernels, data, samples(inputs, WARM + STEPS))
        found.append({"kernels": kernels, "cycles_step": round(counted.step), "us_step": counted.step / CLOCK_MHZ})
        lines += parts(kernels, counted)
    records.show(f"{file}, machine code of a step", found)
    records.show("By function", lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the cycles of a step with each kernel set on a Cortex-M0+ (RP2040).")
    add = parser.add_argument
    add(
        "--kernels",
        "--kernel",
        metavar="NAME",
        action="append",
        help="a kernel set; may be repeated (default: all but plain)",
    )
    add("--inputs", type=int, default=6, metavar="I")
    add("--hidden", type=int, default=32, metavar="H")
    add("--outputs", type=int, default=4, metavar="O")
    add("--model", type=Path, metavar="FILE", help="count the steps of this model file instead of a GRU")
    add("--c", action="store_true", help="also count the same step in C, compiled by arm-none-eabi-gcc -O2")
    add("--uf2", type=Path, metavar="PATH", help="also time whole steps with this RP2040 firmware of MicroPython")
    add("--source", action="store_true", help="with --uf2: let the firmware compile the package instead of mpy-cross")
    args = parser.parse_args()
    machine, other = kernel_sets()
    chosen = args.kernels or machine + other[:-1]
    for name in chosen:
        if name not in machine + other:
            raise TinyrnnError(f"no kernel set is called {name!r}: expected one of {', '.join(machine + other)}")
    fast, slow = ([name for name in chosen if name in some] for some in (machine, other))
    if args.model:
        of_model(args.model, fast)
        return 0
    size = Size(args.inputs, args.hidden, args.outputs)
    sizes = size.others(HIDDEN)
    table: list[Record] = []
    lines: list[Record] = []
    core: dict[str, Callable[[Size], float]] = {}
    for kernels in fast:
        core[kernels] = functools.cache(lambda s, k=kernels: on_core(k, s).step)
        table.append(row("core", kernels, size, sizes, core[kernels]))
        lines += parts(kernels, on_core(kernels, size))
    if args.c:
        from tinyrnn.emulation.c_baseline import VARIANTS, version

        for variant in VARIANTS:
            table.append(row("C -O2", variant, size, sizes, functools.cache(lambda s, v=variant: in_c(v, s))))
        print(version())
    shares: list[Record] = []
    for kernels in [*fast, *slow] if args.uf2 else ():
        hidden = HIDDEN if kernels in fast else SLOW_HIDDEN
        wanted = size.others(sorted({*hidden, size.hidden}))
        timed = on_firmware(args.uf2, kernels, wanted, not args.source)
        took = {s: float(each.cycles) for s, each in timed.items()}
        table.append(row("firmware", kernels, size, size.others(hidden), took.__getitem__))
        for s in wanted:
            inside = core[kernels](s) if kernels in core else None
            shares.append(
                {
                    "kernels": kernels,
                    "hidden": s.hidden,
                    "core": "-" if inside is None else round(inside),
                    "firmware": round(timed[s].cycles),
                    "difference": "-" if inside is None else round(timed[s].cycles - inside),
                    "bytes_allocated_step": timed[s].allocated,
                }
            )
    if not table:
        raise TinyrnnError(f"no machine code in {', '.join(chosen)}: expected one of {', '.join(machine)}, or --uf2 PATH")
    records.show(f"GRU {size.inputs}-{size.hidden}-{size.outputs}, {size.macs} MACs a step, {CLOCK_MHZ} MHz", table)
    print(EXPLAINED)
    if lines:
        records.show("By function", lines)
    if shares:
        records.show("Core and firmware: the difference is the time of the interpreter and the runtime", shares)
    return 0


if __name__ == "__main__":
    records.finish(main)
