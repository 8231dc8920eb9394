"""Classify what analog sensors say, ten times a second: a main.py for a board with machine.ADC (RP2040, ESP32, ...).

Copy it beside the model:  mpremote cp examples/main.py :main.py
It starts by itself when the board is powered; Ctrl-C leaves it and gives the REPL.
For another sensor, write read() anew: it must fill sample with net.inputs integers and allocate nothing.
"""

import time
from array import array

MODEL = "gesture.urnn"
PINS = (26, 27, 28)  # the analog inputs, in the order of the model's channels
PERIOD_MS = 100  # as in the recording that the model was trained on


def open_sensor(count):
    """The analog inputs for a model with count channels; None, said why, where there are not enough."""
    try:
        from machine import ADC
    except ImportError:
        print("main.py: this board has no machine.ADC; expected one: write read() for your sensor")
        return None
    if count > len(PINS):
        print(f"main.py: {MODEL} takes {count} channels, PINS names {len(PINS)}: name as many")
        return None
    return [ADC(PINS[i]) for i in range(count)]


def read(sensor, sample):
    """Fill sample with the raw integers, 0 .. 65535, that the model was trained on."""
    for i in range(len(sample)):
        sample[i] = sensor[i].read_u16()


def load():
    """The net; None, said why, where it cannot be had."""
    try:
        import urnn
    except ImportError:
        print("main.py: urnn is not on this board: tinyrnn deploy", MODEL)
        return None
    try:
        return urnn.load(MODEL)
    except OSError:
        print(f"main.py: {MODEL} is not on this board: mpremote cp {MODEL} :{MODEL}")
    except ValueError as error:
        print(f"main.py: {MODEL} cannot be used ({error}): copy it again, or pack it anew")
    return None


def main():
    net = load()  # first: the largest piece of memory
    sensor = net and open_sensor(net.inputs)
    if not sensor:
        return
    sample = array("i", [0] * net.inputs)
    due = time.ticks_ms()
    try:
        while True:
            read(sensor, sample)
            net.step(sample)
            best = net.argmax()
            print(net.labels[best] if net.labels else best, net.output[best])
            due = time.ticks_add(due, PERIOD_MS)
            time.sleep_ms(max(0, time.ticks_diff(due, time.ticks_ms())))
    except KeyboardInterrupt:
        print("main.py: stopped")


main()
