# A walk through what EHLO announces, on port 25 and on submission, byte by byte where that matters.
import base64, imaplib, json, socket, ssl, subprocess, sys, time
facts = json.load(open(sys.argv[1]))
context = ssl.create_default_context(cafile=facts["ca_file"])
ports = facts["ports"]
alice, bob = facts["accounts"]

class Talk:
    def __init__(self, port, tls):
        self.socket = socket.create_connection(("localhost", ports[port]))
        if tls:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.lines = self.socket.makefile("rb")
        self.heard("220")

    def heard(self, start, about=""):
        said = []
        while True:
            said.append(self.lines.readline().decode().rstrip("\r\n"))
            if said[-1][3:4] != "-":
                break
        assert said[-1].startswith(start), (about, said)
        return said

    def say(self, line, start):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.heard(start, line)

def offers(said):
    return {line[4:].split(" ")[0] for line in said[1:]}

# Port 25 in the clear.
always = set("PIPELINING SIZE 8BITMIME BINARYMIME SMTPUTF8 ENHANCEDSTATUSCODES DSN DELIVERBY MT-PRIORITY LIMITS CHUNKING HELP".split())
talk = Talk("smtp", False)
assert offers(talk.say("EHLO walk", "250 HELP")) == always | {"STARTTLS"}
for topic in ["", " LIMITS", " TLS", " AUTH", " BDAT", " MAIL", " RCPT"]:
    talk.say("HELP" + topic, "214 ")
for line in ["RET=ALL", "ENVID=a+0", "RET=FULL RET=HDRS", "BODY=9BIT", "SIZE=x", "BY=60", "BY=0;R", "MT-PRIORITY=10"]:
    talk.say("MAIL FROM:<x@far.example> " + line, "501 ")
talk.say("MAIL FROM:<x@far.example> REQUIRETLS", "530 5.7.10")
talk.say("MAIL FROM:<x@far.example> HOLDFOR=60", "555 ")
talk.say("MAIL FROM:<> MT-PRIORITY=1", "250 2.3.6 0 ")
talk.say("RSET", "250 ")
talk.say("MAIL FROM:<> RET=FULL ENVID=walk BY=60;RT MT-PRIORITY=-1", "250 2.1.0")
talk.say(f"RCPT TO:<{alice['address']}> NOTIFY=NEVER,DELAY", "501 ")
talk.say(f"RCPT TO:<{alice['address']}> NOTIFY=SUCCESS ORCPT=rfc822;x", "250 ")
body = b"From: x@far.example\r\nSubject: chunks\r\n\r\n" + "\u00e9".encode() * 400 + b"\r\n.\r\nend\r\n"
chunks = [body[:10], body[10:47], body[47:], b""]
sent = b"".join(b"BDAT %d%s\r\n%s" % (len(c), b"" if c else b" LAST", c) for c in chunks)
for at in range(0, len(sent), 7):
    talk.socket.sendall(sent[at:at + 7])
for chunk in chunks[:3]:
    talk.heard(f"250 2.0.0 {len(chunk)} octets")
talk.heard("250 2.0.0 accepted")
talk.socket.sendall(b"BDAT 6 LAST\r\nQUIT\r\n")
talk.heard("503 ")
talk.say("ETRN far.example", "502 ")
talk.say("VRFY " + alice["address"], "252 ")
talk.say("QUIT", "221 ")

# Submission; the line for AUTH is the one that HELP gives, made by a shell.
talk = Talk("submissions", True)
assert offers(talk.say("EHLO walk", "250 HELP")) == always | {"REQUIRETLS", "AUTH"}
line = next(line for line in talk.say("HELP AUTH", "214 ") if "echo AUTH PLAIN" in line)
line = line[line.index("echo"):].replace("you@example.org", alice["address"])
line = line.replace(" password ", f" '{alice['password']}' ")
line = subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout.decode().strip()
talk.say(line, "235 ")
assert offers(talk.say("EHLO walk", "250 HELP")) == always | {"REQUIRETLS", "ETRN", "FUTURERELEASE"}
talk.say("VRFY " + bob["address"], "250 2.1.5 <" + bob["address"])
talk.say("VRFY nobody@demo.test", "550 ")
talk.say("ETRN far.example", "251 ")
talk.say(f"MAIL FROM:<{alice['address']}> RET=FULL ENVID=walk+2B1 REQUIRETLS BODY=8BITMIME", "250 ")
talk.say(f"RCPT TO:<{bob['address']}> NOTIFY=SUCCESS ORCPT=rfc822;{bob['address']}", "250 ")
talk.say("BDAT 18 LAST\r\nSubject: asked\r\n", "250 2.0.0 accepted")
# What waits for its time is not there yet, and is released by an operator.
talk.say(f"MAIL FROM:<{alice['address']}> HOLDFOR=60 HOLDUNTIL=2030-01-01T00:00:00Z", "501 ")
talk.say(f"MAIL FROM:<{alice['address']}> HOLDFOR=999999999", "501 ")
talk.say(f"MAIL FROM:<{alice['address']}> HOLDFOR=2 BY=3600;N MT-PRIORITY=4", "250 2.1.0")
talk.say(f"RCPT TO:<{alice['address']}> NOTIFY=NEVER", "250 ")
talk.say("BDAT 18 LAST\r\nSubject: later\r\n", "250 2.0.0 accepted")
talk.say("QUIT", "221 ")

inbox = imaplib.IMAP4_SSL("localhost", ports["imaps"], ssl_context=context)
inbox.login(alice["address"], alice["password"])
inbox.select("INBOX")
texts = [x[1].decode() for x in inbox.fetch("1:*", "(BODY.PEEK[])")[1] if isinstance(x, tuple)]
assert any(body.decode() in text for text in texts), texts
assert not any("Subject: later" in text for text in texts), texts
told = next(text for text in texts if "Action: delivered" in text)
for part in ["Original-Envelope-Id: walk+1", f"Original-Recipient: rfc822; {bob['address']}"]:
    assert part in told, told
for wait in range(100):
    if inbox.search(None, 'SUBJECT "later"')[1][0]:
        break
    time.sleep(0.1)
    inbox.noop()
else:
    raise AssertionError("what was to go later did not come")
inbox.logout()
