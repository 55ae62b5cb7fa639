# A walk through the extensions with imapclient: what each method gives, and what another session is told.
import json, ssl, sys
from imapclient import IMAPClient, imapclient
facts = json.load(open(sys.argv[1]))
context = ssl.create_default_context(cafile=facts["ca_file"])
alice, bob = facts["accounts"]

def session(who):
    m = IMAPClient("localhost", port=facts["ports"]["imaps"], ssl=True, ssl_context=context)
    m.login(who["address"], who["password"])
    return m

m = session(alice)
for name in "ACL CONDSTORE ENABLE ESEARCH ID IDLE METADATA MOVE NAMESPACE OBJECTID QRESYNC QUOTA SORT UIDPLUS UNSELECT".split():
    assert m.has_capability(name), name
assert m.id_({"name": "walk"})[0][:2] == (b"name", b"buzon")
assert m.namespace().personal == (("", "/"),)
assert m.find_special_folder(imapclient.SENT) == "Sent"
assert len(m.list_folders()) == len(m.list_sub_folders()) == 6

# Mail of three subjects, one a reply, out of the order of their dates.
mail = "Date: 0%d May 2024 10:00:00 +0000\r\nFrom: %s@example.org\r\nSubject: %s\r\nMessage-ID: <%d@x>\r\n%s\r\ntext %d\r\n"
more = ["", "", "In-Reply-To: <1@x>\r\n"]
for n, (day, who, subject) in enumerate([(3, "carl", "pears"), (1, "anna", "apples"), (4, "berta", "Re: pears")], 1):
    said = m.append("INBOX", (mail % (day, who, subject, n, more[n - 1], n)).encode(), ("$Kept",) if n == 2 else ())
    assert b"APPENDUID" in said and said.split()[2] == b"%d]" % n, said
opened = m.select_folder("INBOX")
assert opened[b"EXISTS"] == 3 and opened[b"UIDNEXT"] == 4 and b"$Kept" in opened[b"FLAGS"], opened
assert b"MAILBOXID" in opened and opened[b"READ-WRITE"]
status = m.folder_status("INBOX", ["MESSAGES", "HIGHESTMODSEQ", "SIZE", "MAILBOXID"])
assert status[b"HIGHESTMODSEQ"] == opened[b"HIGHESTMODSEQ"] and status[b"SIZE"] > 300, status

assert m.sort("DATE") == [2, 1, 3] and m.sort(["REVERSE SUBJECT", "DATE"]) == [1, 3, 2]
assert m.sort("FROM", ["NOT", "KEYWORD", "$Kept"]) == [3, 1]
assert m.thread() == ((2,), (1, 3)) and m.thread("ORDEREDSUBJECT") == ((2,), (1, 3)), m.thread()
assert m.search(["BODY", "text 2"]) == [2] and m.search(["SUBJECT", "\u00e4pfel"], "UTF-8") == []
got = m.fetch([1], ["MODSEQ", "EMAILID", "PREVIEW", "SAVEDATE", "ENVELOPE", "BODYSTRUCTURE", "FLAGS"])[1]
assert got[b"PREVIEW"] == b"text 1" and got[b"ENVELOPE"].subject == b"pears" and got[b"SAVEDATE"], got
before = m.search(["MODSEQ", 1]).modseq
assert m.add_flags([1], ["\\Seen"])[1] == (b"\\Seen",) or b"\\Seen" in m.get_flags([1])[1]
assert m.search(["MODSEQ", before + 1]) == [1]
assert list(m.fetch([1, 2, 3], ["FLAGS"], ["CHANGEDSINCE %d" % before])) == [1]

quota = m.get_quota()[0]
assert 0 < quota.usage < quota.limit and m.get_quota_root("INBOX")[0].quota_roots == [""]
try:
    m.set_quota([imapclient.Quota("", "STORAGE", 0, 500)])
    raise SystemExit("a user set a quota")
except m.Error as refused:
    assert "NOPERM" in str(refused)

m.create_folder("Fr\u00fcchte/\u00c4pfel")
assert [f[2] for f in m.list_folders("", "Fr*")] == ["Fr\u00fcchte", "Fr\u00fcchte/\u00c4pfel"]
m.copy([1], "Fr\u00fcchte")
m.move([2], "Fr\u00fcchte")
assert m.search() == [1, 3]
m.setacl("Fr\u00fcchte", bob["address"], "lrs")
assert dict(m.getacl("Fr\u00fcchte"))[bob["address"].encode()] == b"lrs"

# Bob sees what is shared, and may flag but not delete; alice hears of it while idle.
b = session(bob)
assert b.enable("CONDSTORE") == [b"CONDSTORE"]
shared = "%s%s/Fr\u00fcchte" % (b.namespace().other[0][0], alice["address"])
assert shared in [f[2] for f in b.list_folders()]
assert b.select_folder(shared)[b"EXISTS"] == 2
m.select_folder("Fr\u00fcchte")
m.idle()
b.add_flags([2], ["\\Seen"])
try:
    b.delete_messages([1])
    left = b.get_flags([1])
    assert b"\\Deleted" not in left[1], left
except b.Error:
    pass
heard = m.idle_check(timeout=20)
assert any(said[0] == 2 and said[1] == b"FETCH" and b"\\Seen" in said[2][-1] for said in heard), heard
m.idle_done()
m.setacl("Fr\u00fcchte", bob["address"], '""')
b.select_folder("INBOX")
assert not b.folder_exists(shared)

m.unselect_folder()
m.rename_folder("Fr\u00fcchte/\u00c4pfel", "Birnen")
m.subscribe_folder("Birnen")
m.unsubscribe_folder("Birnen")
m.delete_folder("Birnen")
m.select_folder("INBOX")
m.delete_messages([1])
m.uid_expunge([1])
assert m.search() == [3]
assert m.select_folder("INBOX", readonly=True)[b"READ-ONLY"] is not None
m.logout()
b.logout()
print("done")
