//! Hosts that the operator names, from the configuration to what the relay needs of them:
//! the smarthost and the routes, their credentials and our addresses towards them.

use std::{fs, net::IpAddr, path::Path};

use crate::{
    base::secret::Secret,
    config::{
        Config, Misfit,
        raw::RelayTls,
        routes::{OneOrMore, Route, Smarthost, SmarthostTls},
    },
    mail::{address::Domain, by_domain::ByDomain},
    relay::{self, Routes, Sources, Way},
    sasl::client::Mechanism,
    smtp::client::{Login, Proof, conversation::Security},
};

/// What the operator named.
pub(super) struct Named {
    pub(super) routes: Routes,
    pub(super) smarthost: Option<relay::Route>,
    /// Where connections come from that no route says otherwise of.
    pub(super) sources: Sources,
}

/// Reads all of it, the files of passwords included when `files` says so.
pub(super) fn named(config: &Config, files: Files) -> Result<Named, Misfit> {
    let given = &config.relay;
    let sources = sources("relay.source", &given.source)?;
    let reading = Reading { files, sources };
    let mut smarthost = None;
    if let Some(host) = &given.smarthost {
        smarthost = Some(reading.table("relay.smarthost", host)?);
    }
    let mut routes = Routes::default();
    for (name, route) in &given.routes {
        let key = format!("relay.routes.{name}");
        let wrong = |why: String| Misfit::new(&key, why);
        let way = reading.way(&key, route)?;
        match (Pattern::parse(name).map_err(wrong)?, way) {
            (Pattern::One(domain), way) => routes.insert(domain, way),
            (Pattern::Below(domain), way) => routes.insert_below(domain, way),
            (Pattern::Others, Way::Hosts(route)) if smarthost.is_none() => smarthost = Some(route),
            (Pattern::Others, Way::Hosts(_)) => {
                let why = "[relay.smarthost] is the same: one of them can stand";
                return Err(wrong(why.to_owned()));
            }
            // As without it.
            (Pattern::Others, Way::Mx) => {}
        }
    }
    Ok(Named {
        routes,
        smarthost,
        sources,
    })
}

/// The domains that a name of `[relay.routes]` and `[relay.tls]` stands for.
enum Pattern {
    /// This one alone.
    One(Domain),
    /// All below this one.
    Below(Domain),
    /// All of which nothing else is said.
    Others,
}

impl Pattern {
    fn parse(name: &str) -> Result<Self, String> {
        let (name, below) = match name.strip_prefix("*.") {
            None if name == "." => return Ok(Self::Others),
            None => (name, false),
            Some(above) => (above, true),
        };
        let domain = Domain::parse(name).map_err(|error| error.to_string())?;
        match (below, domain.literal()) {
            (true, Some(_)) => Err("nothing is below an address".to_owned()),
            (true, None) => Ok(Self::Below(domain)),
            (false, _) => Ok(Self::One(domain)),
        }
    }
}

/// What the operator demands of the mail servers of some domains.
pub(super) fn demanded(config: &Config) -> Result<ByDomain<Option<Security>>, Misfit> {
    let mut demanded = ByDomain::new(None);
    for (name, tls) in &config.relay.tls {
        let wrong = |why: String| Misfit::new(format!("relay.tls.{name}"), why);
        let security = Some(match tls {
            RelayTls::Opportunistic => Security::Opportunistic,
            RelayTls::Encrypted => Security::Encrypted,
            RelayTls::Verified => Security::Required,
        });
        let pattern = Pattern::parse(name).map_err(wrong)?;
        if let Some(route) = wider_route(config, &pattern) {
            // All that goes there goes together, by the same connections.
            let why = format!("it goes with relay.routes.\"{route}\": say it of that");
            return Err(wrong(why));
        }
        match pattern {
            Pattern::One(domain) => demanded.insert(&domain, security),
            Pattern::Below(domain) => demanded.insert_below(&domain, security),
            Pattern::Others => demanded.set_all(security),
        }
    }
    Ok(demanded)
}

/// The route by which these domains go to hosts together with others.
fn wider_route<'a>(config: &'a Config, pattern: &Pattern) -> Option<&'a str> {
    let routes = &config.relay.routes;
    let (domain, mut rest) = match pattern {
        Pattern::One(domain) => (
            domain,
            domain.as_str().split_once('.').map(|(_, above)| above),
        ),
        Pattern::Below(domain) => (domain, Some(domain.as_str())),
        Pattern::Others => return None,
    };
    let is = |name: &str, of: &str| Domain::parse(name).is_ok_and(|name| name.as_str() == of);
    let alone = matches!(pattern, Pattern::One(_));
    if domain.literal().is_some() || alone && routes.keys().any(|name| is(name, domain.as_str())) {
        return None;
    }
    while let Some(above) = rest {
        let mut below = routes.iter();
        let found = below.find(|(name, _)| name.strip_prefix("*.").is_some_and(|of| is(of, above)));
        if let Some((name, route)) = found {
            let to_mx = matches!(route, Route::Short(OneOrMore::One(text)) if text == "mx");
            let same = !alone && above == domain.as_str();
            return (!to_mx && !same).then_some(name.as_str());
        }
        rest = above.split_once('.').map(|(_, above)| above);
    }
    None
}

/// Whether files are read too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// Yes: the relay is to run.
    Read,
    /// No: only what the configuration says by itself.
    Named,
}

struct Reading {
    files: Files,
    sources: Sources,
}

impl Reading {
    fn way(&self, key: &str, route: &Route) -> Result<Way, Misfit> {
        let texts = match route {
            Route::Table(table) => return self.table(key, table).map(Way::Hosts),
            Route::Short(OneOrMore::One(text)) if text == "mx" => return Ok(Way::Mx),
            Route::Short(texts) => texts.texts(),
        };
        bounded(key, texts)?;
        let hosts = texts.iter().map(|text| {
            place(text).ok_or_else(|| {
                let needed = "is not HOST:PORT, as \"mail.example.org:25\" is";
                Misfit::new(key, format!("\"{text}\" {needed}"))
            })
        });
        Ok(Way::Hosts(relay::Route {
            hosts: hosts.collect::<Result<_, _>>()?,
            security: Security::Opportunistic,
            login: None,
            sources: self.sources,
        }))
    }

    /// A table of a host or several.
    fn table(&self, key: &str, given: &Smarthost) -> Result<relay::Route, Misfit> {
        let names = given.host.texts();
        let host = format!("{key}.host");
        bounded(&host, names)?;
        if let Some(bad) = names.iter().find(|name| !is_host(name)) {
            let text = format!("\"{bad}\" is not the name of a host");
            return Err(Misfit::new(host, text));
        }
        if given.port == 0 {
            return Err(Misfit::new(format!("{key}.port"), "must be at least 1"));
        }
        let sources = match given.source.as_slice() {
            [] => self.sources,
            list => sources(&format!("{key}.source"), list)?,
        };
        Ok(relay::Route {
            hosts: names
                .iter()
                .map(|name| (name.clone(), given.port))
                .collect(),
            security: match given.tls {
                SmarthostTls::Implicit => Security::Implicit,
                SmarthostTls::Starttls => Security::Required,
                SmarthostTls::Opportunistic => Security::Opportunistic,
                SmarthostTls::InsecureNone => Security::Plain,
            },
            login: self.login(key, given)?,
            sources,
        })
    }

    /// Who logs in, and how.
    fn login(&self, key: &str, given: &Smarthost) -> Result<Option<Login>, Misfit> {
        let wrong = |why: &str| Err(Misfit::new(key, why));
        let proof = match (&given.password_file, &given.token_file) {
            (None, None) => None,
            (Some(path), None) => Some(self.password(key, path)?),
            (None, Some(path)) => Some(self.token(key, path)?),
            (Some(_), Some(_)) => return wrong("password_file or token_file: one of them"),
        };
        let (user, proof) = match (&given.user, proof) {
            (None, None) if given.auth.is_some() => {
                return wrong("auth needs user and password_file or token_file");
            }
            (None, None) => return Ok(None),
            (Some(user), Some(proof)) => (user.clone(), proof),
            _ => return wrong("user and password_file (or token_file) belong together"),
        };
        if user.is_empty() || user.contains(char::is_control) {
            return Err(Misfit::new(
                format!("{key}.user"),
                "is not the name of a user",
            ));
        }
        let mechanism =
            match &given.auth {
                None => None,
                Some(name) => Some(mechanism(name, &proof).map_err(|why| {
                    Misfit::new(format!("{key}.auth"), format!("\"{name}\" {why}"))
                })?),
            };
        Ok(Some(Login {
            user,
            proof,
            mechanism,
            insecure_without_tls: given.tls == SmarthostTls::InsecureNone,
        }))
    }

    fn password(&self, key: &str, path: &Path) -> Result<Proof, Misfit> {
        let password = match self.files {
            Files::Read => first_line(&format!("{key}.password_file"), path)?,
            Files::Named => Secret::new(String::new()),
        };
        Ok(Proof::Password(password))
    }

    /// The token's file is read for each session, but must be there now.
    fn token(&self, key: &str, path: &Path) -> Result<Proof, Misfit> {
        if self.files == Files::Read {
            first_line(&format!("{key}.token_file"), path)?;
        }
        Ok(Proof::TokenFile(path.to_path_buf()))
    }
}

/// The way to log in of this name, if it goes with what is there.
fn mechanism(name: &str, proof: &Proof) -> Result<Mechanism, String> {
    let token = matches!(proof, Proof::TokenFile(_));
    let fitting = Mechanism::ALL
        .into_iter()
        .filter(|m| m.takes_token() == token);
    let named = fitting
        .clone()
        .find(|m| m.name().eq_ignore_ascii_case(name));
    named.ok_or_else(|| {
        let what = if token { "token_file" } else { "password_file" };
        let names = fitting.map(|mechanism| mechanism.name().to_ascii_lowercase());
        let names: Vec<_> = names.collect();
        format!("is no way to log in with {what}: {}", names.join(", "))
    })
}

/// Our addresses for connections out.
fn sources(key: &str, list: &[IpAddr]) -> Result<Sources, Misfit> {
    Sources::new(list).map_err(|error| Misfit::new(key, error.to_string()))
}

/// One host at least, and no more than anybody waits for.
fn bounded(key: &str, hosts: &[String]) -> Result<(), Misfit> {
    match hosts.len() {
        0 => Err(Misfit::new(key, "a host is needed")),
        1..=HOSTS_MAX => Ok(()),
        _ => Err(Misfit::new(key, format!("{HOSTS_MAX} hosts at most"))),
    }
}

/// `HOST:PORT`.
fn place(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    is_host(host).then(|| (host.to_owned(), port))
}

/// A name or an IP address.
fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || Domain::parse(text).is_ok_and(|name| name.literal().is_none())
}

fn first_line(key: &str, path: &Path) -> Result<Secret<String>, Misfit> {
    let wrong = |why: String| Misfit::new(key, format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    match text.lines().next() {
        None | Some("") => Err(wrong("its first line is empty".to_owned())),
        Some(line) => Ok(Secret::new(line.to_owned())),
    }
}

/// Of one route.
const HOSTS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    const HEAD: &str = "[server]\nhostname = \"mail.example.org\"\n\
        [tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";

    fn read(relay: &str, files: Files) -> Result<Named, String> {
        let text = format!("{HEAD}{relay}");
        let mut found = Err("not asked".to_owned());
        let path = Path::new("x.toml");
        let config = load_text(&text, path, &[], &|config| {
            named(config, Files::Named).map(|_| ())
        });
        if let Ok(config) = config.as_ref() {
            found = named(config, files).map_err(|error| error.to_string());
        }
        config.map_err(|error| error.to_string()).and(found)
    }

    fn domain(text: &str) -> Domain {
        text.parse().unwrap()
    }

    #[test]
    fn routes_are_texts_lists_and_tables() {
        let named = read(
            "[relay]\nsource = [\"192.0.2.1\"]\n[relay.routes]\n\
             \"a.example\" = \"[2001:db8::5]:25\"\n\
             \"b.example\" = [\"one.example:25\", \"two.example:2525\"]\n\
             \"c.example\" = \"mx\"\n\
             \"*.d.example\" = { host = \"d.example\", port = 587, source = [\"2001:db8::1\"] }\n\
             \".\" = { host = [\"x\", \"y\"], port = 25, tls = \"opportunistic\" }\n",
            Files::Read,
        )
        .unwrap();
        let hosts = |name| {
            let route = named.routes.exact(&domain(name)).unwrap();
            let hosts = route
                .hosts
                .iter()
                .map(|(host, port)| format!("{host} {port}"));
            hosts.collect::<Vec<_>>()
        };
        assert_eq!(hosts("a.example"), ["2001:db8::5 25"]);
        assert_eq!(hosts("b.example"), ["one.example 25", "two.example 2525"]);
        assert!(named.routes.exact(&domain("c.example")).is_none());
        let below = named.routes.below(&domain("d.example")).unwrap();
        assert_eq!(below.security, Security::Required);
        let six = Sources::new(&["2001:db8::1".parse().unwrap()]).unwrap();
        assert_eq!(below.sources, six);
        let rest = named.smarthost.unwrap();
        assert_eq!(rest.hosts.len(), 2);
        assert_eq!(rest.sources, named.sources);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (relay, part) in [
            (
                "[relay.routes]\n\"a.example\" = \"x:y\"\n",
                "x.toml:7: relay.routes.a.example: ",
            ),
            ("[relay.routes]\n\"a.example\" = []\n", "a host is needed"),
            (
                "[relay.routes]\n\"a.example\" = \"x\"\n",
                "is not HOST:PORT",
            ),
            ("[relay.routes]\n\"a b\" = \"x:25\"\n", "x.toml:7"),
            (
                "[relay.routes]\n\"*.[192.0.2.1]\" = \"x:25\"\n",
                "below an address",
            ),
            (
                "[relay.routes.\"a.example\"]\nhost = \"x\"\nport = 0\n",
                "x.toml:8: ",
            ),
            (
                "[relay.routes.\"a.example\"]\nport = 25\n",
                "missing field `host`",
            ),
            ("[relay.routes]\n\"a.example\" = 25\n", "a list of these"),
            (
                "[relay.routes.\"a.example\"]\nhost = \"x\"\nport = 25\nhots = 1\n",
                "unknown field `hots`",
            ),
            (
                "[relay.smarthost]\nhost = \"x\"\nport = 25\n[relay.routes]\n\".\" = \"y:25\"\n",
                "one of them",
            ),
            (
                "[relay.smarthost]\nhost = \"x\"\nport = 25\nuser = \"u\"\n",
                "belong together",
            ),
            (
                "[relay.smarthost]\nhost = \"x\"\nport = 25\nuser = \"u\"\ntoken_file = \"t\"\n\
                 auth = \"plain\"\n",
                "x.toml:11: relay.smarthost.auth: \"plain\" is no way to log in with token_file: \
                 oauthbearer, xoauth2",
            ),
            (
                "[relay]\nsource = [\"192.0.2.1\", \"192.0.2.2\"]\n",
                "x.toml:7: relay.source: 192.0.2.2 is the second",
            ),
        ] {
            let error = read(relay, Files::Named).err().unwrap();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn secrets_are_in_files_that_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let text = |key: &str| {
            format!(
                "[relay.smarthost]\nhost = \"x\"\nport = 25\nuser = \"u\"\n\
                 {key} = \"{}\"\nauth = \"{}\"\n",
                path.display(),
                match key {
                    "token_file" => "xoauth2",
                    _ => "Scram-SHA-256",
                }
            )
        };
        for key in ["password_file", "token_file"] {
            assert!(read(&text(key), Files::Named).is_ok());
            let _ = fs::remove_file(&path);
            let error = read(&text(key), Files::Read).err().unwrap();
            assert!(error.contains(&format!("relay.smarthost.{key}")), "{error}");
            fs::write(&path, "\n").unwrap();
            assert!(
                read(&text(key), Files::Read)
                    .err()
                    .unwrap()
                    .contains("empty")
            );
            fs::write(&path, "secret\n").unwrap();
            let login = read(&text(key), Files::Read)
                .unwrap()
                .smarthost
                .unwrap()
                .login;
            let expected = match key {
                "token_file" => (Proof::TokenFile(path.clone()), Mechanism::Xoauth2),
                _ => (
                    Proof::Password(Secret::new("secret".to_owned())),
                    Mechanism::ScramSha256,
                ),
            };
            let login = login.unwrap();
            assert_eq!((login.proof, login.mechanism.unwrap()), expected);
        }
    }

    #[test]
    fn demands_have_the_names_of_routes() {
        let demand = |routes: &[&str], name: &str| {
            let mut config = Config::default();
            for route in routes {
                let hosts = Route::Short(OneOrMore::One("10.0.0.5:25".to_owned()));
                config.relay.routes.insert((*route).to_owned(), hosts);
            }
            let mx = Route::Short(OneOrMore::One("mx".to_owned()));
            config.relay.routes.insert("*.mx.example".to_owned(), mx);
            config.relay.tls.insert(name.to_owned(), RelayTls::Verified);
            demanded(&config)
        };
        for (name, domain, said) in [
            ("a.example", "a.example", true),
            ("a.example", "x.a.example", false),
            ("*.a.example", "x.y.a.example", true),
            ("*.a.example", "a.example", false),
            (".", "a.example", true),
        ] {
            let domain = Domain::parse(domain).unwrap();
            let found = demand(&[], name).unwrap();
            assert_eq!(found.of(&domain).is_some(), said, "{name} {domain}");
        }
        for (routes, name, fits) in [
            // Nobody would heed it: all below goes together.
            (&["*.a.example"][..], "x.a.example", false),
            (&["*.A.example"], "*.x.a.example", false),
            (&["*.a.example", "x.a.example"], "x.a.example", true),
            (&["*.a.example"], "*.a.example", true),
            (&["*.a.example"], "a.example", true),
            (&["*.example"], "x.mx.example", true),
            (&["."], "a.example", true),
        ] {
            assert_eq!(demand(routes, name).is_ok(), fits, "{routes:?} {name}");
        }
        for wrong in ["", "*", "*.[192.0.2.1]", "a b"] {
            assert!(demand(&[], wrong).is_err(), "{wrong}");
        }
    }
}
