"""A small legacy stdio server, stdlib only so that it starts fast; its tools are ways to behave."""

import json
import os
import signal
import subprocess
import sys


def say(message: object) -> None:
    print(json.dumps(message), flush=True)


def behave(id: int, name: str) -> object:
    if name == "env":
        return dict(os.environ)
    if name == "pid":
        return os.getpid()
    if name == "crash":
        print(f"crashing with {os.environ.get('SECRET')}", file=sys.stderr, flush=True)
        os._exit(7)
    if name == "noise":
        print('not json\n\n[1, 2]\n"text"\nnull', flush=True)
        say({"jsonrpc": "2.0", "id": "other", "result": {}})
        say({"jsonrpc": "2.0", "id": [id], "method": "roots/list"})
        say({"jsonrpc": "2.0", "method": 7})
        print("x" * 200_000, file=sys.stderr, flush=True)
    if name == "huge":
        sys.stdout.write('{"padding": "' + "x" * (17 * 1024 * 1024) + '"}\n')
        sys.stdout.flush()
        return None
    if name == "family":
        child = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL)
        return [os.getpid(), child.pid]
    return name


def main() -> None:
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message.get("method"), message.get("id")
        if id is None or method is None:
            continue
        if method == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {}}
        elif method == "tools/list":
            result = {"tools": [{"name": "pid", "inputSchema": {"type": "object"}}]}
        elif method == "tools/call":
            said = behave(id, message["params"]["name"])
            if said is None:
                continue
            result = {"said": said}
        elif method == "ping":
            result = {}
        else:
            say({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown"}})
            continue
        say({"jsonrpc": "2.0", "id": id, "result": result})
    while "stubborn" in sys.argv:
        signal.pause()


main()
