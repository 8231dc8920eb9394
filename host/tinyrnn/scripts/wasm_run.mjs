// Runs a script on MicroPython's webassembly port under Node as the unix port's command line would:
//
//     [MICROPYPATH=FOLDER:FOLDER] node wasm_run.mjs MODULE.mjs [-X heapsize=N[k|m]] SCRIPT [ARG...]
//
// The module's own command line has no sys.argv, no import path, no files of the host and always ends with
// status 0. Here the host's folders are mounted in the port's file system under their own names, so that a path
// means the same inside and outside; stdout and stderr are written synchronously, so that process.exit() loses
// nothing; SystemExit and uncaught exceptions become exit statuses. heapsize is only where the heap starts: this
// port enlarges it when it is full.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

/** A stream of the port that collects bytes and writes them to the host's `fd` at each line's end. */
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

/** The host's errors by the numbers that this port's C library (WASI's) has for them. */
const ERRNO = {
    EACCES: 2, EBADF: 8, EBUSY: 10, EEXIST: 20, EINVAL: 28, EIO: 29, EISDIR: 31, ELOOP: 32, EMFILE: 33,
    ENAMETOOLONG: 37, ENOENT: 44, ENOSPC: 51, ENOTDIR: 54, ENOTEMPTY: 55, EPERM: 63, EROFS: 69, EXDEV: 75,
};

/** An Emscripten file system type that passes every operation to the host's folder `mount.opts.root`. */
function hostFolders(FS) {
    function host(call) {
        try {
            return call();
        } catch (error) {
            if (error.code === undefined) throw error;
            throw new FS.ErrnoError(ERRNO[error.code] ?? ERRNO.EIO);
        }
    }

    function hostPath(node) {
        const names = [];
        for (; node.parent !== node; node = node.parent) names.unshift(node.name);
        return path.join(node.mount.opts.root, ...names);
    }

    function createNode(parent, name, mode) {
        const node = FS.createNode(parent, name, mode, 0);
        node.node_ops = nodeOps;
        node.stream_ops = streamOps;
        return node;
    }

    const nodeOps = {
        getattr: (node) => host(() => fs.statSync(hostPath(node))),
        setattr(node, attr) {
            if (attr.size !== undefined) host(() => fs.truncateSync(hostPath(node), attr.size));
        },
        lookup(parent, name) {
            const mode = host(() => fs.statSync(path.join(hostPath(parent), name)).mode);
            return createNode(parent, name, mode);
        },
        mknod(parent, name, mode) {
            const at = path.join(hostPath(parent), name);
            host(() => (FS.isDir(mode) ? fs.mkdirSync(at) : fs.closeSync(fs.openSync(at, "wx"))));
            return createNode(parent, name, host(() => fs.statSync(at).mode));
        },
        rename(node, parent, name) {
            host(() => fs.renameSync(hostPath(node), path.join(hostPath(parent), name)));
            node.name = name;
        },
        unlink: (parent, name) => host(() => fs.unlinkSync(path.join(hostPath(parent), name))),
        rmdir: (parent, name) => host(() => fs.rmdirSync(path.join(hostPath(parent), name))),
        readdir: (node) => [".", "..", ...host(() => fs.readdirSync(hostPath(node)))],
    };

    const streamOps = {
        open(stream) {
            if (FS.isDir(stream.node.mode)) return;
            stream.hostFd = host(() => fs.openSync(hostPath(stream.node), stream.flags & 3 ? "r+" : "r"));
        },
        close(stream) {
            if (stream.hostFd !== undefined) host(() => fs.closeSync(stream.hostFd));
        },
        read: (stream, buffer, offset, length, position) =>
            host(() => fs.readSync(stream.hostFd, buffer, offset, length, position)),
        write: (stream, buffer, offset, length, position) =>
            host(() => fs.writeSync(stream.hostFd, buffer, offset, length, position)),
        llseek(stream, offset, whence) {
            let position = offset;
            if (whence === 1) position += stream.position;
            if (whence === 2) position += host(() => fs.fstatSync(stream.hostFd).size);
            if (position < 0) throw new FS.ErrnoError(ERRNO.EINVAL);
            return position;
        },
    };

    return { mount: (mount) => createNode(null, "/", fs.statSync(mount.opts.root).mode) };
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

/** "64k" -> 65536, as the unix port reads it. */
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
            // As the unix port: no code is 0, a number is taken modulo 256, anything else is printed and is 1.
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
    // An uncaught exception of the script carries its traceback as the message; anything else is the port's own.
    status = 1;
    out.flush();
    err.put(Buffer.from(`${error.name === "PythonError" ? error.message.trimEnd() : error.stack}\n`));
}
out.flush();
err.flush();
process.exit(status);
