"""Child processes that start with everything imported and without this process's threads."""

import multiprocessing

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["ir_plugins.pictures.lmdb"])  # the whole package, torch included


def exit_code(code: str) -> int | None:
    """Run code in a child; return how it ended, below 0 by a signal."""
    child = SERVER.Process(target=exec, args=(code, {}))
    child.start()
    child.join()
    return child.exitcode
