//! nginx's mail proxy before us, as it is, with somebody who answers its `auth_http`: by XCLIENT and
//! by PROXY headers, on the ports of servers, of people who send and of people who read.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    doors::serving,
    peers::{Daemon, eventually, messages},
    server::{have, run, skip},
};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_mail_module.so";

/// Sends by each port and reads by the last two, from an address that nginx is to tell of.
const CLIENT: &str = r"
import imaplib, smtplib, sys
host, us = '127.0.5.61', ('127.0.5.99', 0)
def send(port, sender, login):
    s = smtplib.SMTP(host, port, 'client.n.test', 20, us)
    if login:
        s.login('me@n.test', 'long enough')
    text = f'From: {sender}\r\nSubject: by port {port}\r\n\r\nhello\r\n'
    s.sendmail(sender, ['me@n.test'], text)
    s.quit()
for port in 2525, 2535:
    send(port, 'you@far.test', False)
for port in 2587, 2597:
    send(port, 'me@n.test', True)
for port in 2543, 2553:
    m = imaplib.IMAP4(host, port)
    m.login('me@n.test', 'long enough')
    assert m.select('INBOX')[1] == [b'4'], port
    m.logout()
s = smtplib.SMTP(host, 2587)
try:
    s.login('me@n.test', 'wrong')
    sys.exit('nginx let a wrong password in')
except smtplib.SMTPException:
    pass
";

/// Says where nginx's clients go: to the port that its path names, if the password is right.
const AUTH: &str = r"
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import unquote
class Auth(BaseHTTPRequestHandler):
    def do_GET(self):
        said = lambda name: unquote(self.headers.get(name, ''))
        known = said('Auth-Method') == 'none' or said('Auth-Pass') == 'long enough'
        self.send_response(200)
        self.send_header('Auth-Status', 'OK' if known else 'Invalid login or password')
        if known:
            self.send_header('Auth-Server', '127.0.5.60')
            self.send_header('Auth-Port', self.path.strip('/'))
        self.end_headers()
    def log_message(self, *_):
        pass
HTTPServer(('127.0.5.62', 2580), Auth).serve_forever()
";

/// One `server` of nginx, whose clients go to the same port of ours.
fn proxied(port: u16, how: &str) -> String {
    format!("server {{ listen 127.0.5.61:{port}; auth_http 127.0.5.62:2580/{port}; {how} }}\n")
}

fn daemon(program: &str, arguments: &[&str]) -> Daemon {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Daemon(child)
}

#[test]
fn nginx_tells_for_whom_it_connects() {
    if !have("nginx") || !have("python3") {
        return;
    }
    if !Path::new(MODULE).exists() {
        return skip("nginx has no mail module (libnginx-mod-mail)");
    }
    // It speaks to us without TLS, and hands people's passwords on.
    let more = "[listen]\nsmtp = [\"127.0.5.60:2525\", \"127.0.5.60:2535\"]\n\
        submission = [\"127.0.5.60:2587\", \"127.0.5.60:2597\"]\nsubmissions = []\n\
        imap = [\"127.0.5.60:2543\", \"127.0.5.60:2553\"]\nimaps = [\"127.0.5.60:2527\"]\n\
        pop3 = []\npop3s = []\n\
        [proxy]\nfrom = [\"127.0.0.1\"]\n\
        listeners = [\"127.0.5.60:2535\", \"127.0.5.60:2597\", \"127.0.5.60:2553\"]\n\
        [smtp]\nxclient_from = [\"127.0.0.1\"]\n[auth]\ninsecure_without_tls = true\n";
    let server = serving("nginx", &["n.test"], more);
    let d = server.dir.display();
    let servers = [
        proxied(2525, "protocol smtp; smtp_auth none; xclient on;"),
        proxied(
            2535,
            "protocol smtp; smtp_auth none; xclient off; proxy_protocol on;",
        ),
        proxied(2587, "protocol smtp; smtp_auth plain login; xclient on;"),
        proxied(
            2597,
            "protocol smtp; smtp_auth plain login; xclient off; proxy_smtp_auth on; \
             proxy_protocol on;",
        ),
        proxied(2543, "protocol imap;"),
        proxied(2553, "protocol imap; proxy_protocol on;"),
    ];
    let config = format!(
        "load_module {MODULE};\ndaemon off;\nmaster_process off;\npid {d}/nginx.pid;\n\
         error_log {d}/nginx.log info;\nevents {{}}\nmail {{\nserver_name proxy.n.test;\n{}}}\n",
        servers.concat()
    );
    let file = server.dir.join("nginx.conf");
    fs::write(&file, config).unwrap();
    let log = server.dir.join("nginx.log");
    let _auth = daemon("python3", &["-c", AUTH]);
    let arguments = ["-c", file.to_str().unwrap(), "-e", log.to_str().unwrap()];
    let _nginx = daemon("/usr/sbin/nginx", &arguments);
    let listening = "import socket\nfor a in ('127.0.5.61',2553),('127.0.5.62',2580):\n \
        socket.create_connection(a).close()";
    eventually("nginx", || run("python3", &["-c", listening]).succeeded());
    let ran = run("python3", &["-c", CLIENT]);
    let told = fs::read_to_string(&log).unwrap_or_default();
    assert!(ran.succeeded(), "{}\n{told}\n{}", ran.said(), server.log());
    let found = messages(("127.0.5.60", 2527), "me@n.test");
    for port in [2525, 2535, 2587, 2597] {
        assert!(found.contains(&format!("by port {port}")), "{found}");
    }
    // Whoever connected to nginx is who came, and who logged in there is logged in here.
    assert_eq!(found.matches("[127.0.5.99]").count(), 4, "{found}");
    assert_eq!(found.matches(" with ESMTPA\r\n").count(), 2, "{found}");
    let log = server.log();
    assert!(log.contains("peer.ip=127.0.5.99"), "{log}");
}
