#!/usr/bin/env python3
"""SMTP in: messages accepted and visible in their mailboxes, beside Postfix and Dovecot (LMTP, mdbox).

    cargo build --release && benches/smtp.py --peer
    benches/smtp.py --flood
    benches/smtp.py --index

Each row sends --messages of a size over so many connections and waits until all of them are in the mailboxes. CPU is
what the kernel counted for the server's processes; written is what they gave to the disk. --flood sends over one
connection with the limits that the server has by default (but for how many messages a sender may send), first alone,
then beside 2,000 connections that say nothing, 50 that send a byte a second, and 100 that talk nonsense. --verify leaves
the sender checks on: messages are signed (RSA, 2048 bits; python3-dkim), SPF, DKIM and DMARC pass, and the name server is
this program; without it both servers check nothing. --index is a row, and then what the index of texts takes for its
messages, which comes half a minute later. The peer, which never checks, wants root and the packages postfix,
dovecot-imapd and dovecot-lmtpd.
"""

import argparse
import asyncio
import pathlib
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from imap import Buzon, Client, Dovecot, cpu_of_all_ns
from postfix import Postfix

USERS = [f"bench{n}@bench.test" for n in range(50)]
LIMITS = (
    "[limits]\nconnections = 5000\nconnections_per_address = 5000\nconnects_per_minute = 1000000\n"
    "[smtp]\ntransactions = 1000000\ninsecure_any_sender = true\n"
)
OFF = '[verify]\npolicy = "off"\n'
NAMES = 23053
# Seconds after which the index has everything.
INDEXED = 40
ON = f'[dns]\nservers = ["127.0.0.1:{NAMES}"]\n'


def written(root):
    """Bytes that a process and its children gave to the disk."""
    pids, total = [root], 0
    while pids:
        pid = pids.pop()
        try:
            for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("write_bytes:") else 0
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        except OSError:
            pass
    return total


class Here(Buzon):
    """One process for all of it."""

    smtp = 23025

    def __init__(self, directory, binary, limits):
        super().__init__(directory, binary, USERS, "")
        text = self.config.read_text().replace("smtp = []", f'smtp = ["127.0.0.1:{self.smtp}"]', 1)
        self.config.write_text(text + limits)

    def roots(self):
        return [self.process.pid]


class There(Dovecot):
    """Postfix in front of Dovecot."""

    name, smtp = "Postfix+Dovecot", 23026

    def __init__(self, directory, binary, _limits):
        super().__init__(directory, binary, USERS, "")
        config = directory / "dovecot.conf"
        config.write_text(
            config.read_text().replace("protocols = imap\n", "protocols = imap lmtp\n")
            + "service lmtp {\n  client_limit = 1\n  process_min_avail = 4\n  service_count = 1000\n"
            f"  unix_listener {directory}/lmtp {{\n    mode = 0666\n  }}\n}}\n"
        )
        self.postfix = Postfix(
            directory,
            self.smtp,
            f"virtual_mailbox_domains = bench.test\nvirtual_transport = lmtp:unix:{directory}/lmtp\n"
            "lmtp_destination_concurrency_limit = 20\n",
        )

    def start(self):
        super().start()
        self.master = self.postfix.start()

    def stop(self):
        self.postfix.stop()
        super().stop()

    def roots(self):
        return [self.process.pid, self.master]


def answer_questions(texts):
    """A name server that knows texts and nothing else."""
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.bind(("127.0.0.1", NAMES))
    while True:
        data, peer = door.recvfrom(512)
        end = data.index(b"\0", 12)
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].lower())
            at += 1 + data[at]
        kind, answer = data[end + 1 : end + 3], b""
        text = texts.get(b".".join(labels)) if kind == b"\0\x10" else None
        if text:
            parts = [text[i : i + 255] for i in range(0, len(text), 255)]
            value = b"".join(bytes([len(part)]) + part for part in parts)
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, 60, len(value)) + value
        head = data[:2] + b"\x84\x00" + struct.pack(">HHHH", 1, 1 if answer else 0, 0, 0)
        door.sendto(head + data[12 : end + 5] + answer, peer)


def signing(scratch):
    """Signs as example.org, whose records are answered from here."""
    import dkim

    key = scratch / "key.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout"], check=True, capture_output=True).stdout
    texts = {
        b"example.org": b"v=spf1 ip4:127.0.0.1 -all",
        b"_dmarc.example.org": b"v=DMARC1; p=reject",
        b"s._domainkey.example.org": b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1]),
    }
    threading.Thread(target=answer_questions, args=(texts,), daemon=True).start()
    secret = key.read_bytes()
    return lambda message: dkim.sign(message, b"s", b"example.org", secret, canonicalize=(b"relaxed", b"relaxed"))


def content(size):
    line = b"A line of a text that is about nothing in particular, and so on and on.\r\n"
    head = b"From: <carol@example.org>\r\nSubject: bench\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n"
    body = head + line * max(1, (size - len(head)) // len(line))
    return sign(body) + body


async def reply(reader):
    """A reply's last line."""
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            return line


async def send(port, users, body, latencies, host=None):
    """One connection that sends a message to each of the users, one after the other."""
    local = (host, 0) if host else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=local, limit=1 << 20)
    await reply(reader)
    writer.write(b"EHLO bench.example\r\n")
    await reply(reader)
    for user in users:
        begun = time.monotonic()
        writer.write(b"MAIL FROM:<carol@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n" % user.encode())
        replies = [await reply(reader) for _ in range(3)]
        if [said[:3] for said in replies] != [b"250", b"250", b"354"]:
            sys.exit(f"refused: {replies}")
        writer.write(body + b".\r\n")
        if not (last := await reply(reader)).startswith(b"250"):
            sys.exit(f"refused: {last}")
        latencies.append((time.monotonic() - begun) * 1e3)
    writer.write(b"QUIT\r\n")
    await reader.read()
    writer.close()


def sign(_message):
    """Nothing, unless there are checks."""
    return b""


def percent(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def in_mailboxes(readers):
    """How many messages are there."""
    total = 0
    for reader in readers:
        reader.socket.sendall(b"x STATUS INBOX (MESSAGES)\r\n")
        line = reader.file.readline()
        total += int(line.split(b"(MESSAGES ")[1].split(b")")[0])
        reader.answer()
    return total


def loaded(server, sessions, size, count):
    """One row: rates, latencies, CPU and bytes of each message."""
    readers = [Client(server.port, False, user) for user in USERS]
    before, latencies, body = in_mailboxes(readers), [], content(size)
    cpu, disk = sum(map(cpu_of_all_ns, server.roots())), sum(map(written, server.roots()))
    each = [[USERS[n % len(USERS)] for n in range(first, count, sessions)] for first in range(sessions)]

    async def everybody():
        await asyncio.gather(*(send(server.smtp, users, body, latencies) for users in each))

    begun = time.monotonic()
    asyncio.run(everybody())
    accepted = time.monotonic() - begun
    while in_mailboxes(readers) < before + count:
        time.sleep(0.02)
    visible = time.monotonic() - begun
    cpu = sum(map(cpu_of_all_ns, server.roots())) - cpu
    disk = sum(map(written, server.roots())) - disk
    for reader in readers:
        reader.socket.close()
    return (
        f"{count / accepted:10.0f}{count / visible:10.0f}{percent(latencies, 0.5):9.1f}{percent(latencies, 0.99):9.1f}"
        f"{cpu / count / 1e6:9.3f}{disk / count / 1024:10.1f}"
    )


async def flood(server, count):
    """Latencies of one sender, alone and beside the others."""
    body = content(4096)

    async def normal():
        latencies = []
        await send(server.smtp, [USERS[n % len(USERS)] for n in range(count)], body, latencies, "127.0.0.1")
        return latencies

    def address(n):
        # Each in a network of its own.
        return f"127.{16 + n // 16}.{n % 16 * 8}.1"

    async def silent(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.smtp, local_addr=(address(n), 0))
        await reader.read()
        writer.close()

    async def slow(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.smtp, local_addr=(address(2000 + n), 0))
        for byte in b"EHLO slow.example\r\nMAIL FROM:<a@example.org>\r\n" * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(1)

    async def hostile(n):
        words = [b"AUTH PLAIN AGEAYg==\r\n", b"MAIL FROM:<" + b"a" * 900 + b">\r\n", b"X" * 1500 + b"\r\n", b"\0\xff\r\n"]
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", server.smtp, local_addr=(address(3000 + n), 0)
                )
                writer.write(b"EHLO [127.0.0.1]\r\n" + b"".join(words) * 50)
                while await reader.read(65536):
                    pass
                writer.close()
            except OSError:
                pass
            await asyncio.sleep(0.05)

    async def gently(work):
        try:
            await work
        except OSError:
            pass

    quiet = await normal()
    others = [silent(n) for n in range(2000)] + [slow(n) for n in range(50)] + [hostile(n) for n in range(100)]
    others = [asyncio.create_task(gently(work)) for work in others]
    await asyncio.sleep(5)
    flooded = await normal()
    connected = sum(not other.done() for other in others)
    for other in others:
        other.cancel()
    for name, latencies in (("alone", quiet), ("flooded", flooded)):
        print(f"{name:10}{percent(latencies, 0.5):10.1f}{percent(latencies, 0.99):10.1f}")
    print(f"{connected} of the others were still there")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buzon", default="target/release/buzon", type=pathlib.Path, help="the binary")
    parser.add_argument("--messages", default=2000, type=int, help="of 4 KiB in each row; fewer of larger ones")
    parser.add_argument("--verify", action="store_true", help="with the sender checks")
    parser.add_argument("--flood", action="store_true", help="the normal sender of a bad day")
    parser.add_argument("--index", action="store_true", help="what the index costs")
    parser.add_argument("--peer", action="store_true", help="beside Postfix and Dovecot")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="buzon-bench-"))
    scratch.chmod(0o755)
    checks = ON if arguments.verify else OFF
    if arguments.verify:
        global sign
        sign = signing(scratch)
    if arguments.flood:
        # One sender sends more than a stranger may.
        allowed = "[smtp]\ntransactions = 1000000\ninsecure_any_sender = true\n"
        server = Here(scratch / "buzon", arguments.buzon.resolve(), allowed + checks)
        server.start()
        print(f"{'':10}{'p50 ms':>10}{'p99 ms':>10}")
        asyncio.run(flood(server, arguments.messages))
        server.stop()
        shutil.rmtree(scratch)
        return
    if arguments.index:
        server = Here(scratch / "buzon", arguments.buzon.resolve(), LIMITS + checks)
        server.start()
        print(loaded(server, 64, 4096, arguments.messages))
        before = sum(map(cpu_of_all_ns, server.roots()))
        time.sleep(INDEXED)
        cpu = sum(map(cpu_of_all_ns, server.roots())) - before
        print(f"indexed: CPU {cpu / arguments.messages / 1e6:.3f} ms each")
        server.stop()
        shutil.rmtree(scratch)
        return
    heads = f"{'accepted/s':>10}{'visible/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'KiB disk':>10}"
    for kind in [Here, There] if arguments.peer else [Here]:
        server = kind(scratch / kind.name, arguments.buzon.resolve(), LIMITS + checks)
        server.start()
        print(f"{kind.name:26}{heads}")
        for size, part in ((4096, 1), (65536, 4), (1 << 20, 20)):
            for sessions in (1, 16, 64, 256):
                count = max(arguments.messages // part // (4 if sessions == 1 else 1), sessions)
                row = loaded(server, sessions, size, count)
                print(f"{sessions:4} senders, {size // 1024:4} KiB     {row}", flush=True)
        server.stop()
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
