#!/usr/bin/env python3
"""IMAP: CPU of the server for each operation, beside Dovecot (mdbox) on the same messages.

    cargo build --release && benches/imap.py --messages 10000 --peer

Python 3 and nothing else; --peer wants Dovecot 2.3 from a package, and root to start it. The CPU is what the
kernel counted for the server's threads and processes (schedstat, nanoseconds), not what a clock says, so a busy
machine changes it little. Each row tells the least and the most of --rounds, and the least time. What a server does
in the background meanwhile is in its figure: the index of texts is given --settle seconds before anything is measured.
"""

import argparse
import atexit
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

USER, PASSWORD = "bench@bench.test", "benchpass"


def cpu_ns(root):
    """CPU of a process, its threads and its children, in nanoseconds; of children that ended, to 10 ms.

    For short rows: the time of threads that ended is missing."""
    total = 0
    for pid, children in family(root):
        total += children
        try:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            pass  # It ends just now.
    return total


def cpu_of_all_ns(root):
    """The same with threads that ended; all of it to 10 ms."""
    total = 0
    for pid, children in family(root):
        total += children + ticks_ns(pid, 11, 13)
    return total


def family(root):
    """A process and those below it, each with the CPU of children that ended."""
    pids = [root]
    while pids:
        pid = pids.pop()
        yield pid, ticks_ns(pid, 13, 15)
        try:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        except OSError:
            pass


def ticks_ns(pid, first, end):
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[first:end]
    except OSError:
        return 0
    return sum(map(int, fields)) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Client:
    """One connection."""

    def __init__(self, port, tls, user=USER):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl._create_unverified_context()
            self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb", 1 << 20)
        self.file.readline()
        self.ask(f"LOGIN {user} {PASSWORD}")

    def ask(self, command):
        """Sends a command and reads its whole answer."""
        self.socket.sendall(b"x " + command.encode() + b"\r\n")
        return self.answer()

    def answer(self):
        """Reads to the completion; literals are skipped by their length."""
        count = 0
        while True:
            line = self.file.readline()
            if not line:
                sys.exit("the server hung up")
            if line.startswith(b"x "):
                if not line.startswith(b"x OK"):
                    sys.exit("refused: " + line.decode(errors="replace"))
                return count
            count += len(line)
            if line.endswith(b"}\r\n"):
                left = int(line[line.rindex(b"{") + 1 : -3])
                count += left
                while left:
                    left -= len(self.file.read(min(left, 1 << 20)))

    def fill(self, mailbox, count, lines):
        """Appends messages, a hundred in each command."""

        def send():
            for first in range(0, count, 100):
                parts = [f"x APPEND {mailbox}".encode()]
                for n in range(first, min(first + 100, count)):
                    content = message(n, lines)
                    parts.append(b" {%d+}\r\n" % len(content) + content)
                self.socket.sendall(b"".join(parts) + b"\r\n")

        writer = threading.Thread(target=send)
        writer.start()
        for _ in range(0, count, 100):
            self.answer()
        writer.join()


def message(n, lines):
    """A message as they come: some trace fields, a signature, a text."""
    text = "".join(f"Line {k} of the text, which is about nothing in particular at all.\r\n" for k in range(lines))
    return (
        f"Received: from a.example by b.example with ESMTPS id {n}; Sat, 21 Nov 2026 10:00:00 +0000\r\n"
        f"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x; h=from:to;\r\n b={'A' * 200}\r\n"
        f"From: Carol Example <carol{n % 50}@example.org>\r\nTo: bench@bench.test\r\n"
        f"Subject: message number {n} about things\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{n}@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    ).encode()


class Server:
    """A server of this run, in a directory of its own."""

    def __init__(self, directory, ports):
        self.directory, (self.port, self.tls_port) = directory, ports
        directory.mkdir()
        # Dovecot's processes run as other users.
        directory.chmod(0o755)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            + ["-keyout", directory / "key.pem", "-out", directory / "cert.pem", "-days", "2"]
            + ["-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test"],
            check=True,
            capture_output=True,
        )

    def spawn(self, command):
        log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        atexit.register(self.process.terminate)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"no server: see {self.directory}/log")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        atexit.unregister(self.process.terminate)


class Buzon(Server):
    name = "buzon"

    def __init__(self, directory, binary, users=(USER,), limits=""):
        super().__init__(directory, (23143, 23993))
        self.binary, self.config = binary, directory / "buzon.toml"
        self.config.write_text(
            f'[server]\nhostname = "bench.test"\ndata = "{directory}/data"\n'
            f'[tls]\ncertificate = "{directory}/cert.pem"\nkey = "{directory}/key.pem"\n'
            f'[listen]\nsmtp = []\nsubmission = []\nsubmissions = []\npop3 = []\npop3s = []\n'
            f'imap = ["127.0.0.1:{self.port}"]\nimaps = ["127.0.0.1:{self.tls_port}"]\n'
            f"[auth]\ninsecure_without_tls = true\n{limits}"
        )
        self.command("domain", "add", "bench.test")
        for user in users:
            self.command("account", "add", user, text=PASSWORD + "\n")

    def command(self, *words, text=""):
        subprocess.run(
            [self.binary, "--config", self.config, *words], input=text.encode(), check=True, stdout=subprocess.DEVNULL
        )

    def start(self):
        self.spawn([self.binary, "serve", "--config", self.config])


class Dovecot(Server):
    name = "Dovecot"

    def __init__(self, directory, _binary, users=(USER,), limits=""):
        super().__init__(directory, (23144, 23994))
        if subprocess.run(["getent", "passwd", "vmail"], capture_output=True).returncode:
            subprocess.run(["useradd", "-r", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "vmail"], check=True)
        (directory / "mail").mkdir()
        shutil.chown(directory / "mail", "vmail")
        (directory / "users").write_text("".join(f"{user}:{{PLAIN}}{PASSWORD}::::::\n" for user in users))
        (directory / "dovecot.conf").write_text(
            f"base_dir = {directory}/run\nlog_path = {directory}/dovecot.log\nprotocols = imap\n"
            f"listen = 127.0.0.1\nmail_location = mdbox:~/mdbox\nmail_uid = vmail\nmail_gid = vmail\n"
            f"first_valid_uid = 1\ndisable_plaintext_auth = no\n"
            f"ssl = yes\nssl_cert = <{directory}/cert.pem\nssl_key = <{directory}/key.pem\n"
            f"passdb {{\n  driver = passwd-file\n  args = {directory}/users\n}}\n"
            f"userdb {{\n  driver = static\n  args = uid=vmail gid=vmail home={directory}/mail/%u\n}}\n"
            f"{limits}service imap-login {{\n  service_count = 0\n  client_limit = 19000\n"
            f"  inet_listener imap {{\n    port = {self.port}\n  }}\n"
            f"  inet_listener imaps {{\n    port = {self.tls_port}\n    ssl = yes\n  }}\n}}\n"
            "service imap {\n  service_count = 100\n  process_min_avail = 1\n  process_limit = 12000\n}\n"
            "namespace inbox {\n  inbox = yes\n  separator = /\n}\n"
        )

    def start(self):
        self.spawn(["dovecot", "-F", "-c", self.directory / "dovecot.conf"])


FIELDS = "FROM TO CC SUBJECT DATE MESSAGE-ID REFERENCES CONTENT-TYPE"
# What is measured: its name, the command, and what is done before it that is not.
ROWS = [
    ("SELECT", "SELECT INBOX", []),
    ("FETCH 1:* (FLAGS UID)", "FETCH 1:* (FLAGS UID)", []),
    ("FETCH 1:* ENVELOPE", "FETCH 1:* ENVELOPE", []),
    ("FETCH 1:* BODYSTRUCTURE", "FETCH 1:* BODYSTRUCTURE", []),
    ("FETCH 1:* of header fields", f"FETCH 1:* BODY.PEEK[HEADER.FIELDS ({FIELDS})]", []),
    ("FETCH 1:10000 BODY.PEEK[]", "FETCH 1:10000 BODY.PEEK[]", []),
    ("STORE 1:10000 +FLAGS", "STORE 1:10000 +FLAGS (\\Flagged)", ["STORE 1:10000 -FLAGS.SILENT (\\Flagged)"]),
    ("STORE 1:10000 +FLAGS.SILENT", "STORE 1:10000 +FLAGS.SILENT (\\Answered)", ["STORE 1:* -FLAGS.SILENT (\\Answered)"]),
    ("SEARCH UNSEEN", "SEARCH UNSEEN", []),
    ("SEARCH SUBJECT", 'SEARCH SUBJECT "quarterlyzebra"', []),
    ("SEARCH TEXT", 'SEARCH TEXT "hippogriffword"', []),
    ("COPY 1:10000", "COPY 1:10000 Copies", []),
    ("MOVE 1:10000", "MOVE 1:10000 Copies", ["COPY 1:10000 INBOX"]),
    (
        "EXPUNGE of 10000",
        "EXPUNGE",
        ["COPY 1:10000 INBOX", "STORE 1:10000 +FLAGS.SILENT (\\Deleted)"],
    ),
]


def measured(server, arguments):
    """The rows of one server: milliseconds of CPU, and of time."""
    server.start()
    port = server.tls_port if arguments.tls else server.port
    client = Client(port, arguments.tls)
    client.ask("CREATE Copies")
    root, rows = server.process.pid, {}

    def row(name, work):
        before, begun = cpu_ns(root), time.monotonic()
        work()
        spent = (time.monotonic() - begun) * 1e3
        rows.setdefault(name, []).append(((cpu_ns(root) - before) / 1e6, spent))

    row("fill", lambda: client.fill("INBOX", arguments.messages, arguments.lines))
    time.sleep(arguments.settle)
    client.socket.close()
    server.stop()
    server.start()
    root = server.process.pid
    client = Client(port, arguments.tls)
    row("SELECT, the first of the server", lambda: client.ask("SELECT INBOX"))
    for _ in range(arguments.rounds):
        for name, command, prepared in ROWS:
            for before in prepared:
                client.ask(before)
            row(name, lambda: client.ask(command))
    server.stop()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buzon", default="target/release/buzon", type=pathlib.Path, help="the binary")
    parser.add_argument("--messages", default=10_000, type=int, help="in the mailbox, at least 10000")
    parser.add_argument("--lines", default=60, type=int, help="of each message's text, 65 octets each")
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--settle", default=30, type=int, help="seconds for the index of texts")
    parser.add_argument("--tls", action="store_true", help="over implicit TLS")
    parser.add_argument("--peer", action="store_true", help="beside Dovecot")
    arguments = parser.parse_args()
    if arguments.messages < 10_000:
        sys.exit("some rows are about 10000 messages")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="buzon-bench-"))
    scratch.chmod(0o755)
    kinds = [Buzon, Dovecot] if arguments.peer else [Buzon]
    results = [(kind.name, measured(kind(scratch / kind.name, arguments.buzon.resolve()), arguments)) for kind in kinds]
    heads = "".join(f"{name + ' CPU ms':>22}{'ms':>10}" for name, _ in results)
    print(f"{arguments.messages} messages of {len(message(0, arguments.lines))} octets\n{'':34}{heads}")
    for name in results[0][1]:
        line = f"{name:34}"
        for _, rows in results:
            cpu, spent = zip(*rows[name])
            line += f"{min(cpu):12.2f} -{max(cpu):8.2f}{min(spent):10.2f}"
        print(line)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
