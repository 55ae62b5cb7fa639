//! Reading the file, laying the command line's `--set` over it, and checking what only the whole
//! can tell.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{addresses::Place, locate::line_of, ranges, raw::Config, units::Size};

/// What is wrong with the configuration: where, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {cause}{hint}", hint = hint(cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file does not have the right shape; the text has line, column and what is accepted.
    #[error("{path}: {text}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// A `--set` is wrong.
    #[error("--set {setting}: {text}")]
    Setting {
        /// As given.
        setting: String,
        /// What is wrong.
        text: String,
    },
    /// A value makes no sense, alone or beside the others.
    #[error("{place}: {misfit}")]
    Value {
        /// The file and its line, or the `--set`, that gives the key.
        place: String,
        /// What does not fit.
        misfit: Misfit,
    },
}

/// What to do when there is no configuration yet.
fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => {
            "; take config/buzon.toml of the sources and set its first three keys, name another \
             file with --config, or try `buzon serve --demo`, which needs none"
        }
        io::ErrorKind::PermissionDenied => "; run it as the server's user",
        _ => "",
    }
}

/// A key whose value no service can work with, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {text}")]
pub struct Misfit {
    key: String,
    text: String,
}

impl Misfit {
    /// The key, dotted, and what is wrong with its value.
    pub fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            text: text.into(),
        }
    }
}

/// What the services find wrong with their values; `config` does not know them.
pub type Fits<'a> = &'a dyn Fn(&Config) -> Result<(), Misfit>;

/// Loads the file at `path` with `settings` (`key=value`) laid over it.
///
/// # Errors
/// With the file, the line and what would be right.
pub fn load(path: &Path, settings: &[String], fits: Fits<'_>) -> Result<Config, ConfigError> {
    let text = fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
        path: path.to_path_buf(),
        cause,
    })?;
    load_text(&text, path, settings, fits)
}

/// As [`load`], with the file's text at hand.
///
/// # Errors
/// With the file, the line and what would be right.
pub fn load_text(
    text: &str,
    path: &Path,
    settings: &[String],
    fits: Fits<'_>,
) -> Result<Config, ConfigError> {
    let shape = |error: toml::de::Error| ConfigError::Shape {
        path: path.to_path_buf(),
        text: error.to_string().trim_end().to_owned(),
    };
    // The file alone first: only then do errors have lines.
    let mut config: Config = toml::from_str(text).map_err(shape)?;
    let mut table: toml::Table = toml::from_str(text).map_err(shape)?;
    for setting in settings {
        lay_over(&mut table, setting)?;
        config =
            Config::deserialize_table(table.clone()).map_err(|error| ConfigError::Setting {
                setting: setting.clone(),
                text: error.message().to_owned(),
            })?;
    }
    let checked = check(&config).and_then(|()| fits(&config));
    checked.map_err(|misfit| ConfigError::Value {
        place: place_of(&misfit.key, text, path, settings),
        misfit,
    })?;
    Ok(config)
}

/// Where a key gets its value from: the last `--set` of it, else its line in the file.
fn place_of(key: &str, text: &str, path: &Path, settings: &[String]) -> String {
    let sets = |setting: &&String| {
        let given = setting.split('=').next().unwrap_or_default().trim();
        given == key || key.strip_prefix(given).is_some_and(|k| k.starts_with('.'))
    };
    if let Some(setting) = settings.iter().rev().find(sets) {
        return format!("--set {setting}");
    }
    match line_of(text, key) {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

/// Puts `key.key=value` into `table`. The value is TOML, or else a plain string.
fn lay_over(table: &mut toml::Table, setting: &str) -> Result<(), ConfigError> {
    let wrong = |text: &str| ConfigError::Setting {
        setting: setting.to_owned(),
        text: text.to_owned(),
    };
    let (key, value) = setting
        .split_once('=')
        .ok_or_else(|| wrong("a key, `=` and a value are needed: limits.connections=500"))?;
    let (key, value) = (key.trim(), value.trim());
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts
        .pop()
        .filter(|last| !last.is_empty())
        .ok_or_else(|| wrong("no key"))?;
    let mut here = table;
    for part in parts {
        let inner = here
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = inner
            .as_table_mut()
            .ok_or_else(|| wrong("this key holds a value, not a table"))?;
    }
    here.insert(last.to_owned(), parsed);
    Ok(())
}

/// What only the whole can tell.
fn check(config: &Config) -> Result<(), Misfit> {
    if config.server.hostname.is_empty() {
        return Err(Misfit::new(
            "server.hostname",
            "set the name this server is reached by, for example \"mail.example.org\"",
        ));
    }
    // Domains of others may have one (`mail::quirk`); a name that we say of ourselves may not.
    if config.server.hostname.contains('_') {
        return Err(Misfit::new(
            "server.hostname",
            "a host name has no underscore",
        ));
    }
    match (&config.tls.certificate, &config.tls.key) {
        (Some(_), Some(_)) => {}
        (None, Some(_)) => {
            return Err(Misfit::new(
                "tls.certificate",
                "a key needs its certificate",
            ));
        }
        (Some(_), None) => return Err(Misfit::new("tls.key", "a certificate needs its key")),
        (None, None) => {
            return Err(Misfit::new(
                "tls.certificate",
                "set a PEM certificate chain and `tls.key`: clients may log in under TLS only",
            ));
        }
    }
    ranges::check(config)?;
    low_water(config)?;
    data_directory(&config.server.data)?;
    if config.listen.is_empty() {
        let text = "every port is switched off: nothing to serve";
        return Err(Misfit::new("listen", text));
    }
    listeners(config)?;
    proxies(config)?;
    lmtp(config)?;
    tag_separator(&config.accounts.tag_separator)
}

/// DUR-04: a message that is let in must have room, beside one that came just before it.
fn low_water(config: &Config) -> Result<(), Misfit> {
    let (low, least) = (config.store.low_water, Size(2 * config.limits.message.0));
    if low.0 >= least.0 {
        return Ok(());
    }
    let text = format!("{low} is less than {least}, which is twice limits.message");
    Err(Misfit::new("store.low_water", text))
}

/// The kernel's file systems keep nothing.
fn data_directory(data: &Path) -> Result<(), Misfit> {
    let kernels = ["/proc", "/sys", "/dev"];
    let nowhere = kernels.iter().any(|place| data.starts_with(place));
    if nowhere || data == Path::new("/") || data.as_os_str().is_empty() {
        let text = "a directory on a disk is needed, for example \"/var/lib/buzon\"";
        return Err(Misfit::new("server.data", text));
    }
    Ok(())
}

/// No two listeners want the same: the system would only say that it is in use.
fn listeners(config: &Config) -> Result<(), Misfit> {
    let all = addresses(config);
    for (at, (name, address)) in all.iter().enumerate() {
        let earlier = all.iter().take(at);
        if let Some((other, taken)) = earlier.into_iter().find(|(_, o)| overlap(*o, *address)) {
            let text = match taken == address {
                true => {
                    format!("{address} is given to listen.{other} too: one of them can have it")
                }
                false => format!("{address} is part of {taken}, which is given to listen.{other}"),
            };
            return Err(Misfit::new(format!("listen.{name}"), text));
        }
    }
    Ok(())
}

/// Where headers are expected there are listeners, and somebody who may send them.
fn proxies(config: &Config) -> Result<(), Misfit> {
    let proxy = &config.proxy;
    if proxy.from.is_empty() && !proxy.listeners.is_empty() {
        let text = "proxy.from names nobody who may send a PROXY header there";
        return Err(Misfit::new("proxy.listeners", text));
    }
    let all = addresses(config);
    let listens = |address: &SocketAddr| all.iter().any(|(_, other)| other == address);
    match proxy.listeners.iter().find(|address| !listens(address)) {
        None => Ok(()),
        Some(address) => {
            let text = format!("nothing listens at {address}: it is to stand in [listen], too");
            Err(Misfit::new("proxy.listeners", text))
        }
    }
}

/// RFC 2033 5: who speaks SMTP finds no LMTP where he looks for SMTP.
fn lmtp(config: &Config) -> Result<(), Misfit> {
    let all = addresses(config);
    match all
        .iter()
        .find(|(name, address)| *name == "lmtp" && address.port() == 25)
    {
        None => Ok(()),
        Some(_) => Err(Misfit::new(
            "listen.lmtp",
            "port 25 is for SMTP (RFC 2033 5); 24 is free",
        )),
    }
}

/// All listeners that have an address, by the names of their ports.
fn addresses(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let places = config.listen.places().into_iter();
    let tcp = |(name, place)| match place {
        Place::Tcp(address) => Some((name, address)),
        Place::Unix(_) => None,
    };
    places.filter_map(tcp).collect()
}

/// Whether one of two listeners keeps the other from binding. Port 0 is a new one each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    // `[::]` takes both families.
    let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    one.port() == other.port() && one.port() != 0 && (a == b || covers(a, b) || covers(b, a))
}

fn tag_separator(separator: &str) -> Result<(), Misfit> {
    let mut chars = separator.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Ok(()),
        (Some(c), None) if c.is_ascii_punctuation() && !"@\"(),:;<>[\\]".contains(c) => Ok(()),
        _ => Err(Misfit::new(
            "accounts.tag_separator",
            "one character such as \"+\" or \"-\", or \"\" for none",
        )),
    }
}

#[cfg(test)]
mod tests;
