#!/usr/bin/env python3
"""SMTP out: messages that wait, messages that pass through, many destinations, a million recipients.

    cargo build --release && benches/relay.py --peer
    benches/relay.py --million 1000000

Rows: `waited` queues --messages of 4 KiB while the next server answers no call, and then lets it; `passing` submits
as many over 64 connections to a next server that takes them at once; `destinations` sends to 1,000 domains at once,
whose name server is this program. CPU is what the kernel counted for the server's processes from the release (or the
first submission) to the last message. --million queues so many recipients, a thousand in each message, for a server
that answers no call, and tells the memory, the time to start again, and those of `queue list` and `queue stats`.
--peer, for the first two rows, is Postfix, and wants root.
"""

import argparse
import asyncio
import base64
import multiprocessing
import pathlib
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from idle import pss_kib
from imap import PASSWORD, USER, Buzon, Server, cpu_of_all_ns
from postfix import Postfix
from smtp import content, reply

SINK, NAMES, SUBMIT = 23525, 23053, 23587
HOME = "127.0.6.1"


class Sink(asyncio.Protocol):
    """A server that takes everything as fast as it can."""

    def connection_made(self, transport):
        self.transport, self.buffer, self.within = transport, b"", False
        if state.open.value:
            transport.write(b"220 sink\r\n")
        else:
            waiting.append(transport)

    def data_received(self, data):
        self.buffer += data
        answers = []
        while True:
            if self.within:
                end = self.buffer.find(b"\r\n.\r\n")
                if end < 0:
                    break
                self.buffer, self.within = self.buffer[end + 5 :], False
                state.taken.value += 1
                answers.append(b"250 taken\r\n")
                continue
            end = self.buffer.find(b"\n")
            if end < 0:
                break
            verb, self.buffer = self.buffer[:4].upper(), self.buffer[end + 1 :]
            if verb == b"EHLO":
                answers.append(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                self.within = True
                # The end of empty content stands behind this line's.
                answers.append(b"354 go\r\n")
            elif verb == b"QUIT":
                answers.append(b"221 bye\r\n")
            else:
                answers.append(b"250 ok\r\n")
        if answers:
            self.transport.write(b"".join(answers))


class State:
    """What the sink shares with who measures."""

    def __init__(self):
        self.open = multiprocessing.Value("b", 1, lock=False)
        self.taken = multiprocessing.Value("Q", 0, lock=False)


class Names(asyncio.DatagramProtocol):
    """A name server for which every domain has one mail host, and that is here."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        end = data.index(b"\0", 12)
        name, kind = data[12 : end + 1], struct.unpack(">H", data[end + 1 : end + 3])[0]
        question, answer = data[12 : end + 5], b""
        if kind == 15:
            host = name if name.startswith(b"\2mx") else b"\2mx" + name
            answer = b"\xc0\x0c" + struct.pack(">HHIHH", 15, 1, 60, 2 + len(host), 10) + host
        elif kind == 1:
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(HOME)
        header = data[:2] + b"\x84\x00" + struct.pack(">HHHH", 1, 1 if answer else 0, 0, 0)
        self.transport.sendto(header + question + answer, peer)


async def world():
    loop = asyncio.get_running_loop()
    await loop.create_server(Sink, HOME, SINK, backlog=2000)
    await loop.create_datagram_endpoint(Names, (HOME, NAMES))
    while True:
        await asyncio.sleep(0.002)
        if state.open.value:
            for transport in waiting:
                transport.write(b"220 sink\r\n")
            waiting.clear()


state, waiting = State(), []


class Here(Buzon):
    submit = SUBMIT

    def __init__(self, directory, binary, routes):
        super().__init__(directory, binary)
        text = self.config.read_text()
        text = text.replace("submission = []", f'submission = ["127.0.0.1:{self.submit}"]', 1)
        more = (
            "[limits]\nconnections = 5000\nconnections_per_address = 5000\nconnects_per_minute = 1000000\n"
            "sessions_per_account = 5000\nsessions_per_account_and_address = 5000\n"
            "[smtp]\nrecipients = 1000\ntransactions = 1000000\nrecipients_per_hour = 10000000\n"
            f'[verify]\npolicy = "off"\n[dns]\nservers = ["{HOME}:{NAMES}"]\n'
            f"[relay]\nport = {SINK}\ninsecure_private_targets = true\n"
        )
        if routes:
            more += f'[relay.routes]\n"sink.test" = "{HOME}:{SINK}"\n'
        self.config.write_text(text + more)

    def roots(self):
        return [self.process.pid]

    def hello(self):
        secret = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        return ["EHLO bench.example", f"AUTH PLAIN {secret}"]


class There(Server):
    """Postfix; it needs no password from this machine."""

    name, submit = "Postfix", 23588

    def __init__(self, directory, _binary, _routes):
        super().__init__(directory, (23145, 23995))
        self.postfix = Postfix(
            directory,
            self.submit,
            f"transport_maps = inline:{{ sink.test=smtp:[{HOME}]:{SINK} }}\nsmtp_host_lookup = native\n"
            "smtpd_recipient_limit = 100000\n",
        )

    def start(self):
        self.master = self.postfix.start()
        time.sleep(1)

    def stop(self):
        self.postfix.stop()

    def roots(self):
        return [self.master]

    def hello(self):
        return ["EHLO bench.example"]


async def submit(server, letters):
    """One connection that submits these: lists of recipients, and a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.submit, limit=1 << 20)
    await reply(reader)
    for line in server.hello():
        writer.write(line.encode() + b"\r\n")
        if not (said := await reply(reader)).startswith(b"2"):
            sys.exit(f"refused: {said}")
    for recipients, body in letters:
        lines = [f"MAIL FROM:<{USER}>", *(f"RCPT TO:<{to}>" for to in recipients), "DATA"]
        writer.write("".join(line + "\r\n" for line in lines).encode())
        said = [await reply(reader) for _ in lines]
        if bad := [line for line in said if line[:1] not in b"23"]:
            sys.exit(f"refused: {bad[:3]}")
        writer.write(body + b".\r\n")
        if not (last := await reply(reader)).startswith(b"250"):
            sys.exit(f"refused: {last}")
    writer.write(b"QUIT\r\n")
    await reader.read()
    writer.close()


def submit_all(server, letters, senders=64):
    async def everybody():
        await asyncio.gather(*(submit(server, letters[first::senders]) for first in range(senders)))

    asyncio.run(everybody())


def from_user(size):
    return content(size).replace(b"carol@example.org", USER.encode(), 1)


def arrived(count, since):
    """Waits until so many have come; the seconds since then."""
    quiet, last = time.monotonic(), state.taken.value
    while state.taken.value < count:
        time.sleep(0.005)
        if state.taken.value != last:
            quiet, last = time.monotonic(), state.taken.value
        if time.monotonic() - quiet > 60:
            sys.exit(f"only {last} of {count} came")
    return time.monotonic() - since


def cpu(server):
    return sum(map(cpu_of_all_ns, server.roots()))


def row(name, server, letters, held):
    """Queues `letters`, waits until they arrive."""
    state.taken.value, state.open.value = 0, not held
    before, begun = cpu(server), time.monotonic()
    submit_all(server, letters)
    submitted = time.monotonic() - begun
    if held:
        time.sleep(1)
        before, begun = cpu(server), time.monotonic()
        state.open.value = 1
    took = arrived(len(letters), begun)
    # What is noted behind the last reply counts, too.
    time.sleep(0.5)
    each = (cpu(server) - before) / len(letters) / 1e6
    print(f"{name:16}{len(letters) / submitted:12.0f}{len(letters) / took:12.0f}{each:10.3f}", flush=True)


def million(server, count):
    """A queue as large as that."""
    server.start()
    state.open.value = 0
    body, most = from_user(1024), 1000
    letters = [([f"r{n}.{m}@sink.test" for n in range(most)], body) for m in range(count // most)]
    begun = time.monotonic()
    submit_all(server, letters, 16)
    print(f"{count} recipients queued in {time.monotonic() - begun:.1f} s")
    time.sleep(5)
    used = cpu(server)
    time.sleep(10)
    used = (cpu(server) - used) / 1e9 * 10
    print(f"memory {pss_kib(server.process.pid) / 1024:.0f} MiB; {used:.1f} % of a processor while they wait")
    listed(server)
    begun = time.monotonic()
    server.stop()
    print(f"stopped in {time.monotonic() - begun:.2f} s")
    begun = time.monotonic()
    server.start()
    print(f"answers {time.monotonic() - begun:.2f} s after its start")
    time.sleep(5)
    print(f"memory {pss_kib(server.process.pid) / 1024:.0f} MiB")
    listed(server)
    server.stop()


def listed(server):
    for what in ("list", "stats"):
        command = [server.binary, "--config", server.config, "queue", what]
        begun = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"queue {what} in {(time.monotonic() - begun) * 1e3:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buzon", default="target/release/buzon", type=pathlib.Path, help="the binary")
    parser.add_argument("--messages", default=10_000, type=int, help="of 4 KiB in each row")
    parser.add_argument("--destinations", default=1000, type=int, help="domains of the third row")
    parser.add_argument("--million", type=int, help="recipients that are queued, instead of the rows")
    parser.add_argument("--peer", action="store_true", help="beside Postfix")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="buzon-bench-"))
    scratch.chmod(0o755)
    sink = multiprocessing.get_context("fork").Process(target=lambda: asyncio.run(world()), daemon=True)
    sink.start()
    if arguments.million:
        million(Here(scratch / "buzon", arguments.buzon.resolve(), True), arguments.million)
        shutil.rmtree(scratch)
        return
    body = from_user(4096)
    one = [([f"r{n}@sink.test"], body) for n in range(arguments.messages)]
    for kind in [Here, There] if arguments.peer else [Here]:
        server = kind(scratch / kind.name, arguments.buzon.resolve(), True)
        server.start()
        print(f"{kind.name:16}{'submitted/s':>12}{'sent/s':>12}{'CPU ms':>10}")
        row("waited", server, one, True)
        row("passing", server, one, False)
        server.stop()
    server = Here(scratch / "many", arguments.buzon.resolve(), False)
    server.start()
    each = max(1, arguments.messages // arguments.destinations)
    letters = [([f"r{n}@d{n % arguments.destinations}.test"], body) for n in range(each * arguments.destinations)]
    row("destinations", server, letters, True)
    server.stop()
    sink.terminate()
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
