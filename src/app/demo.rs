//! The demo: everything a first try needs, made at start and kept in one directory.
//!
//! High ports on loopback, a certificate for localhost from a CA of its own, the domain `demo.test`
//! with two accounts and random passwords, and commands to paste. Started again on the same
//! directory it has the same of all of it. `demo.json` says the same to scripts, once every port
//! answers.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};

use crate::{
    base::random::Random,
    config::{self, Config, ConfigError},
};

/// The domain of the demo.
pub const DOMAIN: &str = "demo.test";

/// A demo's directory and what was made in it.
#[derive(Debug)]
pub struct Demo {
    /// The directory.
    pub dir: PathBuf,
    /// Its ports begin here; `None` for the usual ones.
    pub base_port: Option<u16>,
    /// Its accounts.
    pub accounts: Vec<DemoAccount>,
}

/// An account of the demo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DemoAccount {
    /// Its address.
    pub address: String,
    /// Its password, printed at start: the demo has no secrets worth keeping.
    pub password: String,
}

/// Why the demo cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or directory cannot be made.
    #[error("{path}: {cause}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The certificates cannot be made.
    #[error("the demo's certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The ports do not fit.
    #[error("--base-port {0}: the highest port is {0} + 995, which must stay below 65536")]
    BasePort(u16),
}

impl Demo {
    /// Makes what is missing in `dir`; a fresh directory under the system's temporary one without
    /// it.
    ///
    /// # Errors
    /// Names the file that cannot be made.
    pub fn prepare(
        dir: Option<PathBuf>,
        base_port: Option<u16>,
        random: &Random,
    ) -> Result<Self, DemoError> {
        if let Some(base) = base_port.filter(|base| *base > u16::MAX - HIGHEST_PORT) {
            return Err(DemoError::BasePort(base));
        }
        let dir = dir.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("buzon-demo-{}", random.readable(8)))
        });
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(at(&dir))?;
        let dir = dir.canonicalize().map_err(at(&dir))?;
        // Its return says that this start's ports answer, so an earlier start's must not stay.
        let _ = fs::remove_file(dir.join("demo.json"));
        if !dir.join("key.pem").exists() {
            make_certificates(&dir)?;
        }
        let accounts = accounts(&dir, random)?;
        Ok(Self {
            dir,
            base_port,
            accounts,
        })
    }

    /// The demo's configuration with `settings` laid over it.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn config(&self, settings: &[String]) -> Result<Config, ConfigError> {
        let mut text = String::from("[server]\nhostname = \"localhost\"\n");
        text += &format!("data = {}\n", quoted(&self.dir.join("data")));
        text += &format!("postmaster = \"alice@{DOMAIN}\"\n[tls]\n");
        text += &format!("certificate = {}\n", quoted(&self.dir.join("cert.pem")));
        text += &format!("key = {}\n[listen]\n", quoted(&self.dir.join("key.pem")));
        for (name, port) in self.ports() {
            text += &format!("{name} = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]\n");
        }
        // A demo has no name servers, and its strangers no names.
        text += "[verify]\npolicy = \"off\"\n";
        let name = Path::new("the demo's configuration");
        config::load_text(&text, name, settings, &super::settings::fit)
    }

    /// The ports by name.
    pub fn ports(&self) -> [(&'static str, u16); 7] {
        PORTS.map(|(name, well_known)| match (self.base_port, name) {
            (Some(base), _) => (name, base + well_known),
            // What everybody takes for it.
            (None, "smtp") => (name, 2525),
            (None, _) => (name, 2000 + well_known),
        })
    }

    /// Writes `demo.json`, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self) -> Result<(), DemoError> {
        let ports: serde_json::Map<_, _> = self
            .ports()
            .iter()
            .map(|(name, port)| ((*name).to_owned(), (*port).into()))
            .collect();
        let facts = serde_json::json!({
            "host": "localhost",
            "ports": ports,
            "accounts": self.accounts,
            "ca_file": self.dir.join("ca.pem"),
            "data": self.dir,
            "pid": std::process::id(),
        });
        let text = format!("{facts:#}\n");
        let (fresh, path) = (self.dir.join("demo.json.new"), self.dir.join("demo.json"));
        write_private(&fresh, text.as_bytes())?;
        fs::rename(&fresh, &path).map_err(at(&path))
    }

    /// What a person reads and pastes.
    pub fn welcome(&self) -> String {
        let port = |wanted: &str| {
            let found = self.ports().into_iter().find(|(name, _)| *name == wanted);
            found.map_or(0, |(_, port)| port)
        };
        let password = |at: usize| self.accounts.get(at).map_or("", |a| a.password.as_str());
        let ca = self.dir.join("ca.pem");
        WELCOME
            .replace("{dir}", &self.dir.display().to_string())
            .replace("{ca}", &ca.display().to_string())
            .replace("{smtp}", &port("smtp").to_string())
            .replace("{submission}", &port("submission").to_string())
            .replace("{submissions}", &port("submissions").to_string())
            .replace("{pop3}", &port("pop3").to_string())
            .replace("{pop3s}", &port("pop3s").to_string())
            .replace("{imap}", &port("imap").to_string())
            .replace("{imaps}", &port("imaps").to_string())
            .replace("{alice}", password(0))
            .replace("{bob}", password(1))
    }
}

/// Reads the accounts an earlier start made, or makes new ones and writes them down first.
fn accounts(dir: &Path, random: &Random) -> Result<Vec<DemoAccount>, DemoError> {
    let path = dir.join("accounts.json");
    if let Some(known) = fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
    {
        return Ok(known);
    }
    let fresh: Vec<_> = ["alice", "bob"]
        .map(|name| DemoAccount {
            address: format!("{name}@{DOMAIN}"),
            password: random.readable(16),
        })
        .into();
    write_private(
        &path,
        format!("{:#}\n", serde_json::json!(fresh)).as_bytes(),
    )?;
    Ok(fresh)
}

/// A CA and, signed by it, a certificate for this machine's loopback names.
fn make_certificates(dir: &Path) -> Result<(), DemoError> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name
        .push(DnType::CommonName, "buzon demo CA (throw away)");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut server = CertificateParams::new(names)?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;
    write_private(&dir.join("ca.pem"), ca_certificate.pem().as_bytes())?;
    let chain = certificate.pem() + &ca_certificate.pem();
    write_private(&dir.join("cert.pem"), chain.as_bytes())?;
    // The key last: its presence means that all is made.
    write_private(&dir.join("key.pem"), key.serialize_pem().as_bytes())
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DemoError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DemoError {
    let path = path.to_path_buf();
    move |cause| DemoError::Io { path, cause }
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

/// The ports that stand in the RFCs.
const PORTS: [(&str, u16); 7] = [
    ("smtp", 25),
    ("submission", 587),
    ("submissions", 465),
    ("pop3", 110),
    ("pop3s", 995),
    ("imap", 143),
    ("imaps", 993),
];

/// Of these.
const HIGHEST_PORT: u16 = 995;

const WELCOME: &str = r#"
buzon demo. Everything is in {dir}; Ctrl-C ends it.

  accounts    alice@demo.test  password {alice}
              bob@demo.test    password {bob}
  ports       smtp {smtp}  submission {submission} (STARTTLS)  submissions {submissions} (TLS)
              pop3 {pop3}  pop3s {pop3s} (TLS)  imap {imap}  imaps {imaps} (TLS)
  trust       {ca}

1. Send alice a message, as another server would:
     printf 'From: you@example.org\r\nTo: alice@demo.test\r\nSubject: hello\r\n\r\nFirst!\r\n' |
       curl -sS smtp://localhost:{smtp} --mail-from you@example.org --mail-rcpt alice@demo.test -T -
   or with swaks, or typed by hand:
     swaks --server localhost:{smtp} --from you@example.org --to alice@demo.test
     telnet localhost {smtp}

2. Read it over IMAP:
     curl -sS --cacert {ca} -u 'alice@demo.test:{alice}' \
       'imaps://localhost:{imaps}/INBOX;MAILINDEX=1'
   or typed by hand (a1 LOGIN alice@demo.test {alice}; a2 SELECT INBOX; a3 FETCH 1 BODY[]):
     openssl s_client -quiet -crlf -CAfile {ca} -connect localhost:{imaps}

3. Read it over POP3:
     curl -sS --cacert {ca} pop3s://localhost:{pop3s}/1 -u 'alice@demo.test:{alice}'

4. Send from alice to bob, logged in, over STARTTLS:
     printf 'From: alice@demo.test\r\nTo: bob@demo.test\r\nSubject: hi bob\r\n\r\nSecond!\r\n' |
       curl -sS --ssl-reqd --cacert {ca} smtp://localhost:{submission} \
         -u 'alice@demo.test:{alice}' --mail-from alice@demo.test --mail-rcpt bob@demo.test -T -
   or with swaks:
     swaks --server localhost:{submission} --tls --auth PLAIN --auth-user alice@demo.test \
       --auth-password {alice} --from alice@demo.test --to bob@demo.test
   bob reads it:
     curl -sS --cacert {ca} 'imaps://localhost:{imaps}/INBOX;MAILINDEX=1' -u 'bob@demo.test:{bob}'
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_same_accounts_and_certificate() {
        let random = Random::system();
        let first = Demo::prepare(None, None, &random).unwrap();
        let key = fs::read(first.dir.join("key.pem")).unwrap();
        let second = Demo::prepare(Some(first.dir.clone()), Some(3000), &random).unwrap();
        assert_eq!(fs::read(second.dir.join("key.pem")).unwrap(), key);
        let passwords = |demo: &Demo| {
            demo.accounts
                .iter()
                .map(|a| a.password.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(passwords(&first), passwords(&second));
        let config = second
            .config(&["limits.connections_per_address=9".to_owned()])
            .unwrap();
        assert_eq!(config.limits.connections_per_address, 9);
        assert_eq!(
            config.listen.imaps.first().map(std::net::SocketAddr::port),
            Some(3993)
        );
        let welcome = second.welcome();
        assert!(welcome.contains("3993") && !welcome.contains("{i") && !welcome.contains("{ca"));
        let usual = [2525, 2587, 2465, 2110, 2995, 2143, 2993];
        assert_eq!(first.ports().map(|(_, port)| port), usual);
        let moved = [3025, 3587, 3465, 3110, 3995, 3143, 3993];
        assert_eq!(second.ports().map(|(_, port)| port), moved);
        let highest = Some(u16::MAX - HIGHEST_PORT);
        let last = Demo::prepare(Some(first.dir.clone()), highest, &random).unwrap();
        assert_eq!(
            last.ports().map(|(_, port)| port).iter().max(),
            Some(&u16::MAX)
        );
        assert!(Demo::prepare(None, highest.map(|base| base + 1), &random).is_err());
        fs::remove_dir_all(&first.dir).unwrap();
    }
}
