// SPDX-License-Identifier: MIT
// Runs a script on MicroPython's webassembly port under Node, with the command line of the unix port:
//
//     [MICROPYPATH=FOLDER:FOLDER] node wasm_run.mjs MODULE.mjs [-X heapsize=N[k|m]] SCRIPT [ARG...]
//
// The module's own command line has no sys.argv, no import path and no access to the host's files, and it always
// ends with status 0. This script mounts the host's folders in the port's file system under their own names, so that
// a path means the same inside and outside. It writes stdout and stderr synchronously, so that process.exit() loses
// nothing. It turns SystemExit and uncaught exceptions into exit statuses. heapsize is the initial size of the heap,
// because this port enlarges it when it is full.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { hostFolders } from "./host_folders.mjs";

/** A stream of the port. It collects bytes and writes them to the host's `fd` at the end of each line. */
class Output {
    constructor(fd) {
        this.fd = fd;
        this.bytes = Buffer.alloc(1 << 16);
        this.used = 0;
    }

    put(data) {
        for (const byte of data) {
            this.bytes[this.used++] = byte;
            if (byte === 10 || this.used === this.bytes.length) this.flush();
        }
    }

    flush() {
        for (let done = 0; done < this.used; ) {
            try {
                done += fs.writeSync(this.fd, this.bytes, done, this.used - done);
            } catch (error) {
                if (error.code === "EPIPE") process.exit(1); // the reader has gone
                if (error.code !== "EAGAIN") throw error;
                Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // a full pipe: wait 1 ms
            }
        }
        this.used = 0;
    }
}

/** Mount each of the host's top folders under its own name; /dev and /proc stay the port's own. */
function mountHost(FS) {
    const type = hostFolders(FS);
    for (const name of fs.readdirSync("/")) {
        const at = "/" + name;
        if (name === "dev" || name === "proc") continue;
        if (!fs.statSync(at, { throwIfNoEntry: false })?.isDirectory()) continue;
        if (!FS.analyzePath(at).exists) FS.mkdir(at);
        FS.mount(type, { root: at }, at);
    }
}

/** "heapsize=64k" -> 65536, as the unix port reads it. */
function heapBytes(text) {
    const match = /^heapsize=(\d+)([km]?)$/i.exec(text ?? "");
    if (!match) usage(`-X ${text}: expected heapsize=N, heapsize=Nk or heapsize=Nm`);
    return Number(match[1]) * { "": 1, k: 1 << 10, m: 1 << 20 }[match[2].toLowerCase()];
}

function usage(text) {
    process.stderr.write(`wasm_run.mjs: ${text}\n`);
    process.exit(2);
}

const args = process.argv.slice(2);
const module = args.shift();
let heapsize = 1 << 20;
if (args[0] === "-X") heapsize = heapBytes(args.splice(0, 2)[1]);
if (!module || !args.length) usage("expected MODULE.mjs [-X heapsize=N] SCRIPT [ARG...]");
const script = args[0];

const { loadMicroPython } = await import(pathToFileURL(path.resolve(module)));
const out = new Output(1);
const err = new Output(2);
let status = 0;
try {
    const mp = await loadMicroPython({
        heapsize,
        linebuffer: false,
        stdin: () => null,
        stdout: (data) => out.put(data),
        stderr: (data) => err.put(data),
    });
    mountHost(mp.FS);
    mp.FS.chdir(process.cwd());
    mp.registerJsModule("_wasm_run", {
        exit(code) {
            // As on the unix port: no code gives 0, a number counts modulo 256, anything else is printed and gives 1.
            if (typeof code === "number") status = code & 255;
            else if (code !== null && code !== undefined) {
                status = 1;
                out.flush();
                err.put(Buffer.from(`${code}\n`));
            }
        },
    });
    const folders = (process.env.MICROPYPATH ?? ".frozen").split(":").filter((folder) => folder);
    const list = (strings) => JSON.stringify(strings); // a JSON list of strings is a Python list too
    mp.runPython(`
import sys, micropython as _m
sys.argv[:] = ${list(args)}
sys.path[:] = ${list([path.dirname(path.resolve(script)), ...folders])}
__file__ = sys.argv[0]
_e = None  # its place in the table of globals: under a locked heap a new name would be one more MemoryError
try:
    exec(compile(open(__file__).read(), __file__, "exec"))
except BaseException as _e:
    # The port hangs in passing on an exception when the script left the heap locked.
    _m.heap_lock()
    while _m.heap_unlock():  # how deep it is still locked
        pass
    if not isinstance(_e, SystemExit):
        raise
    import _wasm_run
    _wasm_run.exit(_e.args[0] if _e.args else None)
`);
} catch (error) {
    // For an uncaught exception of the script the message is its traceback. Any other error is the port's own.
    status = 1;
    out.flush();
    err.put(Buffer.from(`${error.name === "PythonError" ? error.message.trimEnd() : error.stack}\n`));
}
out.flush();
err.flush();
process.exit(status);
