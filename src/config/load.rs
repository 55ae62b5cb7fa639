//! Reading the file, laying the command line's `--set` over it, and checking what only the whole
//! can tell.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{locate::line_of, raw::Config};

/// What is wrong with the configuration: where, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {cause}")]
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
    /// A value does not fit the others.
    #[error("{place}{key}: {text}")]
    Value {
        /// `FILE:LINE: `, or empty when the file does not set the key.
        place: String,
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        text: String,
    },
}

/// Loads the file at `path` with `settings` (`key=value`) laid over it.
///
/// # Errors
/// With the file, the line and what would be right.
pub fn load(path: &Path, settings: &[String]) -> Result<Config, ConfigError> {
    let text = fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
        path: path.to_path_buf(),
        cause,
    })?;
    load_text(&text, path, settings)
}

/// As [`load`], with the file's text at hand.
///
/// # Errors
/// With the file, the line and what would be right.
pub fn load_text(text: &str, path: &Path, settings: &[String]) -> Result<Config, ConfigError> {
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
    check(&config).map_err(|(key, text_of_error)| ConfigError::Value {
        place: match line_of(text, key) {
            Some(line) => format!("{}:{line}: ", path.display()),
            None => format!("{}: ", path.display()),
        },
        key,
        text: text_of_error,
    })?;
    Ok(config)
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
fn check(config: &Config) -> Result<(), (&'static str, String)> {
    if config.server.hostname.is_empty() {
        return Err((
            "server.hostname",
            "set the name this server is reached by, for example \"mail.example.org\"".to_owned(),
        ));
    }
    match (&config.tls.certificate, &config.tls.key) {
        (Some(_), Some(_)) => {}
        (None, Some(_)) => {
            return Err(("tls.certificate", "a key needs its certificate".to_owned()));
        }
        (Some(_), None) => return Err(("tls.key", "a certificate needs its key".to_owned())),
        (None, None) => {
            return Err((
                "tls.certificate",
                "set a PEM certificate chain and `tls.key`: clients may log in under TLS only"
                    .to_owned(),
            ));
        }
    }
    if let Some((key, least)) = too_small(config) {
        return Err((key, format!("must be at least {least}")));
    }
    if config.listen.is_empty() {
        return Err((
            "listen",
            "every port is switched off: nothing to serve".to_owned(),
        ));
    }
    if config.accounts.tag_separator.chars().count() > 1 {
        return Err((
            "accounts.tag_separator",
            "one character, or \"\" for none".to_owned(),
        ));
    }
    Ok(())
}

/// The first key below what it must be, and what that is. There is no `0 = unlimited`.
fn too_small(config: &Config) -> Option<(&'static str, &'static str)> {
    let (limits, smtp, relay) = (&config.limits, &config.smtp, &config.relay);
    let (half_an_hour, minute) = (Duration::from_secs(30 * 60), Duration::from_secs(60));
    let rules = [
        (
            "smtp.recipients",
            smtp.recipients < 100,
            "100 (RFC 5321 4.5.3.1.8)",
        ),
        (
            "smtp.idle",
            smtp.idle.0 < minute * 5,
            "5m (RFC 5321 4.5.3.2.7)",
        ),
        (
            "imap.idle",
            config.imap.idle.0 < half_an_hour,
            "30m (RFC 9051 5.4)",
        ),
        (
            "pop3.idle",
            config.pop3.idle.0 < minute * 10,
            "10m (RFC 1939 3)",
        ),
        (
            "smtp.recipients_per_hour",
            smtp.recipients_per_hour < 1,
            "1",
        ),
        ("smtp.transactions", smtp.transactions < 1, "1"),
        ("limits.connections", limits.connections == Some(0), "1"),
        (
            "limits.connections_per_address",
            limits.connections_per_address < 1,
            "1",
        ),
        (
            "limits.connects_per_minute",
            limits.connects_per_minute < 1,
            "1",
        ),
        (
            "limits.sessions_per_account_and_address",
            limits.sessions_per_account_and_address < 1,
            "1",
        ),
        (
            "limits.sessions_per_account",
            limits.sessions_per_account < 1,
            "1",
        ),
        ("limits.message", limits.message.0 < 1, "1"),
        ("auth.failures", config.auth.failures < 1, "1"),
        ("relay.attempts", relay.attempts < 1, "1"),
        (
            "relay.attempts_per_destination",
            relay.attempts_per_destination < 1,
            "1",
        ),
    ];
    let broken = rules.into_iter().find(|(_, broken, _)| *broken);
    broken.map(|(key, _, least)| (key, least))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[server]\nhostname = \"mail.example.org\"\n\n\
        [tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";

    fn error_of(text: &str, settings: &[&str]) -> String {
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        load_text(text, Path::new("buzon.toml"), &settings)
            .unwrap_err()
            .to_string()
    }

    /// The shipped file with what stands in comments brought to life: its defaults, or its
    /// examples as well.
    fn shipped(with_examples: bool) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/buzon.toml");
        let mut in_example = false;
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| {
            let comment = line.strip_prefix("# ").unwrap_or_default();
            let example = comment.strip_prefix("For example: ");
            // A table in a comment is an example up to the next empty line.
            in_example = !line.is_empty() && (in_example || comment.starts_with('['));
            let key = comment.split(" = ").next().unwrap_or_default();
            let is_key = comment.contains(" = ") && !key.contains(' ');
            match example {
                Some(example) if with_examples => example,
                None if in_example && (!with_examples || comment.is_empty()) => "",
                None if in_example || is_key => comment,
                _ => line,
            }
        });
        lines.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_shipped_file_shows_the_defaults_as_they_are() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/buzon.toml");
        let as_it_is = load(&path, &[]).unwrap();
        let mut defaults = Config::default();
        defaults.server.hostname = as_it_is.server.hostname.clone();
        defaults.tls = as_it_is.tls.clone();
        assert_eq!(as_it_is, defaults);
        let text = shipped(false);
        assert_eq!(load_text(&text, &path, &[]).unwrap(), defaults, "{text}");
        // Nothing is left out, and the examples are right too.
        let text = shipped(true);
        load_text(&text, &path, &[]).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        for key in Config::keys() {
            let (part, name) = key.split_once('.').unwrap();
            assert!(table[part].get(name).is_some(), "{key} is missing");
        }
        let smarthost = table["relay"]["smarthost"].as_table().unwrap();
        assert_eq!(smarthost.len(), 5, "{smarthost:?}");
        assert!(table["relay"].get("routes").is_some());
    }

    #[test]
    fn what_is_in_force_is_written_as_a_file_that_says_the_same() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/buzon.toml");
        for text in [GOOD.to_owned(), shipped(false), shipped(true)] {
            let config = load_text(&text, &path, &[]).unwrap();
            let written = config.to_toml().unwrap();
            assert_eq!(
                load_text(&written, &path, &[]).unwrap(),
                config,
                "{written}"
            );
            let table: toml::Table = toml::from_str(&written).unwrap();
            for key in Config::keys() {
                let (part, name) = key.split_once('.').unwrap();
                let shown = table[part].get(name).is_some();
                assert!(shown || key == "limits.connections", "{key}: {written}");
            }
        }
    }

    #[test]
    fn lim_07_lim_09_times_that_the_rfcs_ask_for_cannot_be_shortened() {
        for (setting, least) in [
            ("smtp.idle=4m", "5m"),
            ("imap.idle=29m", "30m"),
            ("pop3.idle=9m", "10m"),
            ("smtp.recipients=99", "100"),
            ("relay.attempts=0", "1"),
            ("limits.sessions_per_account=0", "1"),
        ] {
            let error = error_of(GOOD, &[setting]);
            let (key, _) = setting.split_once('=').unwrap();
            let parts = [key, &format!("must be at least {least}")];
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn mistakes_carry_file_line_and_what_is_accepted() {
        for (text, parts) in [
            (
                "[server]\nhostnam = \"x\"\n",
                &["buzon.toml", "line 2", "hostnam", "hostname"][..],
            ),
            ("[listen]\nsmtp = [\"25\"]\n", &["line 2"]),
            ("[limits]\nconnections = \"many\"\n", &["line 2"]),
            ("[server\n", &["line 1"]),
            ("", &["server.hostname"]),
            (
                "[server]\nhostname = \"x\"\n[tls]\nkey = \"k\"\n",
                &["buzon.toml", "certificate"],
            ),
        ] {
            let error = error_of(text, &[]);
            for part in parts {
                assert!(error.contains(part), "{part} not in: {error}");
            }
        }
        let few = format!("{GOOD}\n[smtp]\nrecipients = 5\n");
        assert!(error_of(&few, &[]).starts_with("buzon.toml:9: smtp.recipients"));
    }

    #[test]
    fn settings_of_the_command_line_are_laid_over_the_file() {
        let settings = [
            "limits.connections_per_address=5000",
            "server.hostname=mx.example.net",
        ];
        let settings = settings.map(str::to_owned);
        let config = load_text(GOOD, Path::new("x"), &settings).unwrap();
        assert_eq!(config.limits.connections_per_address, 5000);
        assert_eq!(config.server.hostname, "mx.example.net");
        for (setting, part) in [
            ("limits.connection=5", "unknown field"),
            ("limits.connections_per_address", "`=`"),
            ("limits.connections_per_address=lots", "invalid type"),
            ("server.hostname.x=1", "not a table"),
        ] {
            let error = error_of(GOOD, &[setting]);
            assert!(
                error.starts_with("--set") && error.contains(part),
                "{error}"
            );
        }
    }
}
