"""Stands for the package `spaces` on ZeroGPU and enforces its rules: imported before torch; a task
runs in a forked process; what goes in and what comes out is pickled; the duration is known before.
"""

import multiprocessing
import pickle
import sys

if "torch" in sys.modules:
    raise RuntimeError("CUDA has been initialized before importing the `spaces` package.")

LONGEST_S = 120
durations = []
_END = b""


def GPU(task=None, *, duration=60):
    """The decorator, for generators."""
    if task is None:
        return lambda decorated: GPU(decorated, duration=duration)

    def lent(*args):
        seconds = duration(*args) if callable(duration) else duration
        if not 0 < seconds <= LONGEST_S:
            raise RuntimeError("The requested GPU duration is larger than the maximum allowed")
        durations.append(seconds)
        context = multiprocessing.get_context("fork")
        results, sender = context.Pipe(duplex=False)
        sent = pickle.dumps(args)
        worker = context.Process(target=_work, args=(task, sent, sender), daemon=True)
        worker.start()
        sender.close()
        try:
            while (result := results.recv_bytes()) != _END:
                kind, value = pickle.loads(result)
                if kind == "raised":
                    raise value
                yield value
        finally:
            worker.terminate()
            worker.join()

    return lent


def _work(task, sent, sender):
    try:
        for value in task(*pickle.loads(sent)):
            sender.send_bytes(pickle.dumps(("yielded", value)))
    except Exception as exc:
        sender.send_bytes(pickle.dumps(("raised", exc)))
    sender.send_bytes(_END)
