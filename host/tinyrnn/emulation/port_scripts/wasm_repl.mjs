// SPDX-License-Identifier: MIT
// MicroPython's webassembly port as a board: its REPL on stdin and stdout, its flash in a folder of the host.
//
//     node wasm_repl.mjs MODULE.mjs HOST_FOLDERS.mjs FLASH_FOLDER
//
// Everything is synchronous: a byte is read only when the REPL or the running program waits for one. Ends, as a
// unix process does, at a soft reset. What differs from a board: a program that neither reads nor prints cannot
// be interrupted, and raw paste is refused, because this port offers it and then hangs in it.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const RAW_PASTE = Buffer.from("\x05A\x01", "latin1"); // a host sends it alone and waits for the answer

const [module, folders, flash] = process.argv.slice(2);
if (!flash) {
    process.stderr.write("wasm_repl.mjs: expected MODULE.mjs HOST_FOLDERS.mjs FLASH_FOLDER\n");
    process.exit(2);
}
const { loadMicroPython } = await import(pathToFileURL(path.resolve(module)));
const { hostFolders } = await import(pathToFileURL(path.resolve(folders)));

function write(data) {
    for (let done = 0; done < data.length; ) done += fs.writeSync(1, data, done);
}

let waiting = Buffer.alloc(0); // bytes from the host that nobody has asked for yet
const chunk = Buffer.alloc(4096);

/** The next byte from the host; waits for it. */
function read() {
    while (!waiting.length) {
        const count = fs.readSync(0, chunk);
        if (!count) process.exit(0); // the line is gone
        waiting = Buffer.from(chunk.subarray(0, count));
        if (waiting.length >= 3 && waiting.subarray(-3).equals(RAW_PASTE)) {
            waiting = waiting.subarray(0, -3);
            write(Buffer.from("R\x00", "latin1"));
        }
    }
    const byte = waiting[0];
    waiting = waiting.subarray(1);
    return byte;
}

const mp = await loadMicroPython({
    heapsize: 256 * 1024, // where it starts; this port enlarges it when it is full
    linebuffer: false,
    stdin() {
        const byte = read();
        if (byte !== mp._module._mp_hal_get_interrupt_char()) return byte; // micropython.kbd_intr() sets it
        mp._module._mp_sched_keyboard_interrupt();
        return null; // an end of input, and the interrupt is raised when the read returns
    },
    stdout: write,
    stderr: write,
});
const FS = mp.FS;
FS.mkdir("/flash");
FS.mount(hostFolders(FS), { root: path.resolve(flash) }, "/flash");
FS.chdir("/flash");
mp.runPython(`exec(${JSON.stringify(fs.readFileSync(new URL("linux_errno.py", import.meta.url), "utf8"))}, {})`);
mp.runPython("import sys; sys.path[:] = ['', '.frozen', '/flash/lib']; del sys");
if (fs.existsSync(path.join(flash, "main.py"))) {
    try {
        mp.runPython("import main");
    } catch (error) {
        write(Buffer.from(error.message)); // a main.py that fails leaves the REPL, as on a board
    }
}
mp.replInit();
while (!mp.replProcessChar(read()));
process.exit(0);
