# One round with smtplib, imaplib and poplib: submit, idle free reading, flags, folders, copy, delete; then POP3.
import imaplib, json, poplib, random, smtplib, ssl, sys, zlib
facts = json.load(open(sys.argv[1]))
ports, ca = facts["ports"], facts["ca_file"]
alice, bob = facts["accounts"]
context = ssl.create_default_context(cafile=ca)

s = smtplib.SMTP("localhost", ports["submission"])
s.starttls(context=context)
s.login(alice["address"], alice["password"])
for n in range(4):
    s.sendmail(alice["address"], [bob["address"]], f"From: {alice['address']}\r\nTo: {bob['address']}\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?= {n}\r\n\r\n.line {n}\r\n")
try:
    s.sendmail(alice["address"], ["nobody@demo.test"], "x")
    raise SystemExit("an unknown recipient was accepted")
except smtplib.SMTPRecipientsRefused as refused:
    assert refused.recipients["nobody@demo.test"][0] == 550
s.quit()

for cls, port in ((imaplib.IMAP4, "imap"), (imaplib.IMAP4_SSL, "imaps")):
    if cls is imaplib.IMAP4:
        m = cls("localhost", ports[port])
        m.starttls(context)
    else:
        m = cls("localhost", ports[port], ssl_context=context)
    m.login(bob["address"], bob["password"])
    assert m.select("INBOX")[1] == [b"4"]
    m.logout()

m = imaplib.IMAP4_SSL("localhost", ports["imaps"], ssl_context=context)
m.authenticate("PLAIN", lambda _: f"\0{bob['address']}\0{bob['password']}".encode())
assert m.select("INBOX")[0] == "OK"
typ, data = m.fetch("1:*", "(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE INTERNALDATE)")
assert typ == "OK" and len(data) == 4, data
typ, data = m.fetch("2", "(BODY[TEXT])")
assert data[0][1] == b".line 1\r\n", data
assert m.search(None, "UNSEEN")[1] == [b"1 3 4"]
assert m.search("UTF-8", "SUBJECT", '"gr"')[1] == [b"1 2 3 4"]
assert m.store("1", "+FLAGS", r"(\Flagged $Work)")[0] == "OK"
assert m.create("Lists/Rust")[0] == "OK"
assert m.copy("1:2", "Lists/Rust")[0] == "OK"
assert m.status("Lists/Rust", "(MESSAGES UIDNEXT UNSEEN)")[1] == [b'Lists/Rust (MESSAGES 2 UIDNEXT 3 UNSEEN 1)'], m.status("Lists/Rust", "(MESSAGES)")
assert m.append("Drafts", r"(\Draft)", imaplib.Time2Internaldate(1000000000), b"Subject: draft\r\n\r\nhello\r\n")[0] == "OK"
assert m.store("4", "+FLAGS", r"(\Deleted)")[0] == "OK"
assert m.expunge()[1] == [b"4"]
assert m.rename("Lists/Rust", "Lists/Ferris")[0] == "OK"
assert any(b"Ferris" in line for line in m.list()[1])
assert m.delete("Lists/Ferris")[0] == "OK"
m.logout()

# RFC 4978, with zlib at the other end.
m = imaplib.IMAP4_SSL("localhost", ports["imaps"], ssl_context=context)
m.login(bob["address"], bob["password"])
assert m.xatom("COMPRESS", "DEFLATE")[0] == "OK"
deflate, inflate, heard = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15), bytearray()
def take(is_there, count):
    while not is_there():
        raw = m.sock.recv(1000)
        assert raw
        heard.extend(inflate.decompress(raw))
    part = bytes(heard[:count()])
    del heard[:count()]
    return part
m.read = lambda count: take(lambda: len(heard) >= count, lambda: count)
m.readline = lambda: take(lambda: b"\n" in heard, lambda: heard.index(b"\n") + 1)
m.send = lambda data: m.sock.sendall(deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))
draw = random.Random(1)
for size in (1, 250, 256, 257, 1000, 16384, 40000, 300000):
    body = b"Subject: deflated\r\n\r\n" + bytes(draw.choice(b"abcdefgh 123") for _ in range(size)) + b"z" * size
    assert m.append("Drafts", None, None, body)[0] == "OK"
    assert m.select("Drafts")[0] == "OK"
    assert m.fetch("*", "(BODY.PEEK[])")[1][0][1] == body, size
m.logout()

p = poplib.POP3("localhost", ports["pop3"])
p.stls(context)
p.user(bob["address"]); p.pass_(bob["password"])
count, size = p.stat()
assert count == 3, count
assert sum(int(line.split()[1]) for line in p.list()[1]) == size
lines = p.retr(1)[1]
assert lines[-1] == b".line 0", lines
assert len(b"\r\n".join(lines)) + 2 == int(p.list(1).split()[2])
assert len({line.split()[1] for line in p.uidl()[1]}) == 3
assert b".line 0" not in p.top(1, 0)[1] and b".line 0" in p.top(1, 1)[1]
p.dele(1)
p.rset()
p.dele(2)
p.quit()
p = poplib.POP3_SSL("localhost", ports["pop3s"], context=context)
p.user(bob["address"]); p.pass_(bob["password"])
assert p.stat()[0] == 2
p.quit()
print("done")
