#!/usr/bin/env python3
"""IMAP clients that wait in IDLE: memory of each, and how long it takes to tell all of them of new mail.

    cargo build --release && benches/idle.py --clients 2000 --peer

A hundred accounts have the clients between them; one message comes to each account, all at once. --peer is
Dovecot 2.3, which has a process for each client: 10,000 of them want 6 GB. The memory is PSS of all processes.
"""

import argparse
import pathlib
import resource
import selectors
import shutil
import sys
import tempfile
import time

from imap import Buzon, Client, Dovecot, cpu_ns, message

USERS = [f"bench{n}@bench.test" for n in range(100)]


def pss_kib(root):
    """Memory of a process and its children."""
    pids, total = [root], 0
    while pids:
        pid = pids.pop()
        try:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        except OSError:
            pass
    return total


def measured(server, count):
    """Memory of each client in KiB, milliseconds to the median and the last that was told, CPU."""
    server.start()
    root = server.process.pid
    writers = [Client(server.port, False, user) for user in USERS]
    before, clients = pss_kib(root), []
    for n in range(count):
        client = Client(server.port, False, USERS[n % len(USERS)])
        client.ask("SELECT INBOX")
        client.socket.sendall(b"i IDLE\r\n")
        assert client.file.readline().startswith(b"+")
        clients.append(client)
    time.sleep(5)
    each = (pss_kib(root) - before) / count
    ready = selectors.DefaultSelector()
    for client in clients:
        client.socket.setblocking(False)
        ready.register(client.socket, selectors.EVENT_READ)
    content, cpu, begun, told = message(0, 10), cpu_ns(root), time.monotonic(), []
    for writer in writers:
        writer.socket.sendall(b"x APPEND INBOX {%d+}\r\n%s\r\n" % (len(content), content))
    while len(told) < count:
        events = ready.select(60)
        if not events:
            sys.exit(f"{count - len(told)} were not told")
        for key, _ in events:
            if b"EXISTS" in key.fileobj.recv(4096):
                told.append((time.monotonic() - begun) * 1e3)
                ready.unregister(key.fileobj)
    cpu = (cpu_ns(root) - cpu) / 1e6
    server.stop()
    return each, told[count // 2], told[-1], cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buzon", default="target/release/buzon", type=pathlib.Path, help="the binary")
    parser.add_argument("--clients", default=2000, type=int)
    parser.add_argument("--peer", action="store_true", help="beside Dovecot")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < arguments.clients + 200:
        sys.exit(f"{most} open files are too few")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="buzon-bench-"))
    scratch.chmod(0o755)
    limits = (
        "[limits]\nconnections = 60000\nconnections_per_address = 50000\nmailbox_connections_per_address = 50000\n"
        "connects_per_minute = 1000000\nsessions_per_account = 20000\nsessions_per_account_and_address = 20000\n"
    )
    kinds = [(Buzon, limits)]
    if arguments.peer:
        kinds.append((Dovecot, "mail_max_userip_connections = 20000\ndefault_client_limit = 20000\n"))
    print(f"{arguments.clients} clients in IDLE\n{'':12}{'KiB each':>12}{'half told ms':>14}{'all told ms':>14}{'CPU ms':>10}")
    for kind, limits in kinds:
        server = kind(scratch / kind.name, arguments.buzon.resolve(), USERS, limits)
        each, half, last, cpu = measured(server, arguments.clients)
        print(f"{kind.name:12}{each:12.1f}{half:14.1f}{last:14.1f}{cpu:10.1f}", flush=True)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
