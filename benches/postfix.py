"""A Postfix of a bench's own: its directories, its configuration, start and stop. It wants root."""

import pathlib
import shutil
import subprocess


class Postfix:
    """Takes mail without a password at `port` of this machine; `settings` say where it goes."""

    def __init__(self, directory, port, settings):
        self.directory = directory
        for name in ("etc", "queue", "data"):
            (directory / name).mkdir()
        shutil.chown(directory / "data", "postfix")
        (directory / "etc/main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {directory}/queue\ndata_directory = {directory}/data\n"
            "myhostname = bench.test\nmydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
            "maillog_file = /var/log/buzon-bench-postfix.log\nmaillog_file_prefixes = /var\n"
            "alias_maps =\nalias_database =\nlocal_recipient_maps =\nsmtpd_client_connection_count_limit = 0\n"
            "default_process_limit = 300\nsmtpd_peername_lookup = no\nin_flow_delay = 0\n" + settings
        )
        services = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines()
        kept = [f"{port} inet n - n - 300 smtpd"]
        for line in services:
            words = line.split()
            if line.startswith(("smtp      inet", "#")) or not words:
                continue
            if line[0].isalpha() and len(words) > 7:
                words[4] = "n"  # no chroot: nothing is there to live in
                line = " ".join(words)
            kept.append(line)
        (directory / "etc/master.cf").write_text("\n".join(kept) + "\n")

    def command(self, what):
        subprocess.run(["/usr/sbin/postfix", "-c", self.directory / "etc", what], check=True, capture_output=True)

    def start(self):
        """Starts it, and answers the process that has all others."""
        self.command("start")
        return int((self.directory / "queue/pid/master.pid").read_text())

    def stop(self):
        self.command("stop")
