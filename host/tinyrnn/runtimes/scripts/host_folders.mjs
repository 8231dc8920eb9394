// SPDX-License-Identifier: MIT
// The host's folders as a file system type of MicroPython's webassembly port.
import fs from "node:fs";
import path from "node:path";

/** The host's error names -> their numbers in this port's C library (WASI's). */
const ERRNO = {
    EACCES: 2, EBADF: 8, EBUSY: 10, EEXIST: 20, EINVAL: 28, EIO: 29, EISDIR: 31, ELOOP: 32, EMFILE: 33,
    ENAMETOOLONG: 37, ENOENT: 44, ENOSPC: 51, ENOTDIR: 54, ENOTEMPTY: 55, EPERM: 63, EROFS: 69, EXDEV: 75,
};

/** An Emscripten file system type that passes every operation to the host's folder `mount.opts.root`. */
export function hostFolders(FS) {
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

    function forget(parent, name) {
        try {
            FS.hashRemoveNode(FS.lookupNode(parent, name));
        } catch (error) {
            if (error.errno === undefined) throw error; // there was no such file: nothing to forget
        }
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
            forget(parent, name); // or the replaced file would be found again once this one is removed
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
