"""One IMAP session that changes mailboxes until the server is gone, and knows what must be there afterwards.

killed.py work PORT PASSWORD STATE SEED: changes until the connection breaks; writes to STATE what the mailboxes
hold if the command under way was not done, and if it was.
killed.py verify PORT PASSWORD STATE: compares; prints the number of acknowledged commands.
"""
import collections, imaplib, json, random, re, sys

BOXES = ["INBOX", "Box"]
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "kept", "\\Deleted"]
imaplib.Commands["MOVE"] = ("SELECTED",)


def connected(port, password):
    session = imaplib.IMAP4("localhost", int(port))
    session.login("alice@demo.test", password)
    return session


def found(session):
    """What each mailbox holds: its messages as [name, flags, whole]."""
    held = {}
    for box in BOXES:
        if session.select(box, readonly=True)[0] != "OK":
            held[box] = None
            continue
        held[box] = []
        numbers = session.search(None, "ALL")[1][0]
        if not numbers:
            continue
        for part in session.fetch("1:*", "(FLAGS BODY.PEEK[])")[1]:
            if not isinstance(part, tuple):
                continue
            flags = re.search(rb"FLAGS \(([^)]*)\)", part[0]).group(1).decode().split()
            text = part[1].decode()
            name = re.search(r"^Subject: (\S+)", text, re.M).group(1)
            whole = text.endswith(f"END {name}\r\n")
            held[box].append([name, sorted(set(flags) - {"\\Recent"}), whole])
        held[box].sort()
    return held


class Worker:
    def __init__(self, session, held, seed):
        self.session, self.held, self.done, self.number = session, held, 0, 0
        self.random, self.seed = random.Random(seed), seed

    def step(self, after):
        kind = self.random.choice(["append", "append", "store", "copy", "move", "expunge"])
        box = self.random.choice(BOXES)
        other = BOXES[1 - BOXES.index(box)]
        # What is kept stays small enough to be compared often.
        if len(after[box]) > 40:
            doomed = any("\\Deleted" in m[1] for m in after[box])
            kind = "expunge" if doomed else "doom"
        if kind == "append" or not after[box]:
            self.number += 1
            name = f"{self.seed}-{self.number}"
            body = ("y" * 70 + "\r\n") * self.random.choice([3, 3, 50, 6000])
            text = f"Subject: {name}\r\n\r\n{body}END {name}\r\n"
            after[box] = sorted(after[box] + [[name, ["\\Seen"], True]])
            return lambda: self.session.append(box, "(\\Seen)", None, text.encode())
        self.session.select(box)
        order = self.order(box)
        chosen = sorted(self.random.sample(range(len(order)), self.random.randint(1, len(order))))
        numbers = ",".join(str(n + 1) for n in chosen)
        names = {order[n] for n in chosen}
        taken = [m for m in after[box] if m[0] in names]
        left = [m for m in after[box] if m[0] not in names]
        # Two copies of one message cannot be told apart by name: then all of them are meant.
        if len(taken) != len(chosen):
            numbers = ",".join(str(n + 1) for n, name in enumerate(order) if name in names)
        if kind == "expunge":
            after[box] = [m for m in after[box] if "\\Deleted" not in m[1]]
            return self.session.expunge
        if kind == "move":
            after[box], after[other] = left, sorted(after[other] + taken)
            return lambda: self.session._simple_command("MOVE", numbers, other)
        if kind == "copy":
            after[other] = sorted(after[other] + taken)
            return lambda: self.session.copy(numbers, other)
        flag = "\\Deleted" if kind == "doom" else self.random.choice(FLAGS)
        after[box] = sorted(left + [[m[0], sorted(set(m[1]) | {flag}), m[2]] for m in taken])
        return lambda: self.session.store(numbers, "+FLAGS.SILENT", flag)

    def order(self, box):
        parts = self.session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        return [p[1].decode().split()[1] for p in parts if isinstance(p, tuple)]

    def work(self):
        while True:
            after = {box: list(held) for box, held in self.held.items()}
            self.both = [self.held, after]
            command = self.step(after)
            self.both = [self.held, after]
            answer = command()
            if answer[0] != "OK":
                sys.exit(f"refused: {answer}")
            self.held = after
            self.done += 1


def main():
    mode, port, password, state = sys.argv[1:5]
    if mode == "work":
        session = connected(port, password)
        session.create("Box")
        worker = Worker(session, found(session), sys.argv[5])
        json.dump({}, open(state, "w"))
        try:
            worker.work()
        except (imaplib.IMAP4.abort, OSError):
            json.dump({"done": worker.done, "either": worker.both}, open(state, "w"))
        return
    facts = json.load(open(state))
    held = found(connected(port, password))
    for expected in facts["either"]:
        if expected == held:
            print(facts["done"])
            return
    for box in BOXES:
        have = collections.Counter(map(str, held[box] or []))
        for what, expected in zip(["before", "after"], facts["either"]):
            want = collections.Counter(map(str, expected[box]))
            print(box, what, "missing", list((want - have))[:5], "more", list((have - want))[:5])
    sys.exit("what is there is neither the state before nor after the last command")


main()
