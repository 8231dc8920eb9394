# SPDX-License-Identifier: MIT
"""Classify what analog sensors say, ten times a second: a main.py for a board with machine.ADC (RP2040, ESP32, ...).

Copy it beside the model:  mpremote cp examples/main.py :main.py
It starts by itself when the board is powered; Ctrl-C leaves it and gives the REPL.
It runs with any model: channels that the board has no analog input for read 0, and it says so.
For another sensor, write read() anew: it must fill sample with net.inputs integers and allocate nothing.
"""

import time
from array import array

MODEL = "gesture.urnn"
PINS = (26, 27, 28)  # the analog inputs, in the order of the model's channels
PERIOD_MS = 100  # as in the recording that the model was trained on


def open_sensor(count):
    """An analog input for each channel, as far as there are; None, said why, where there is none at all."""
    try:
        from machine import ADC
    except ImportError:
        print("main.py: this board has no machine.ADC; expected one: write read() for your sensor")
        return None
    found = []
    for pin in PINS[:count]:
        try:
            found.append(ADC(pin))
        except ValueError as error:
            print(f"main.py: pin {pin} is no analog input here ({error}): name another in PINS")
            return None
    if len(found) < count:
        print(f"main.py: {MODEL} takes {count} channels, PINS names {len(found)}: the others read 0,")
        print("main.py: and what it says means nothing until read() gives your sensor's values")
    return found


def read(sensor, sample):
    """Fill sample with the raw integers, 0 .. 65535, that the model was trained on."""
    for i in range(len(sensor)):
        sample[i] = sensor[i].read_u16()


def load():
    """The net, which has passed its self-test; None, said why, where it cannot be had."""
    try:
        import urnn
    except ImportError:
        print("main.py: urnn is not on this board: tinyrnn deploy", MODEL)
        return None
    try:
        net = urnn.load(MODEL)
    except OSError:
        print(f"main.py: {MODEL} is not on this board: mpremote cp {MODEL} :{MODEL}")
        return None
    except ValueError as error:
        print(f"main.py: {MODEL} cannot be used ({error}): copy it again, or pack it anew")
        return None
    try:
        print("main.py:", net.selftest())
    except ValueError:
        pass  # a file without vectors
    except RuntimeError as error:
        print("main.py:", error)
        return None
    return net


def show(net):
    """Print what the net says: a class and its output, or the targets."""
    if net.regression:
        print(*[net.value(i) for i in range(len(net.output))])
    else:
        best = net.argmax()
        print(net.labels[best] if net.labels else best, net.output[best])


def main():
    net = load()  # first: the largest piece of memory
    sensor = net and open_sensor(net.inputs)
    if not sensor:
        return
    sample = array("i", [0] * net.inputs)
    # A model that was trained on whole sequences has to begin anew with each, and its last step's output counts
    window = net.window
    last = window and not net.every_step
    if last:
        print(f"main.py: it says something at the end of each window, every {window * PERIOD_MS / 1000} s")
    net.reset()
    due = time.ticks_ms()
    try:
        while True:
            if window and net.steps == window:
                net.reset()
            read(sensor, sample)
            net.step(sample)
            if not last or net.steps == window:
                show(net)
            due = time.ticks_add(due, PERIOD_MS)
            time.sleep_ms(max(0, time.ticks_diff(due, time.ticks_ms())))
    except KeyboardInterrupt:
        print("main.py: stopped")


main()
