//! Our own MTA-STS policy (RFC 8461 3.2): what the web listener answers and what the DNS is to say
//! of it, made in one place from the configuration. It is the same for all domains: their mail
//! comes to the same hosts.

use crate::{
    config::{Config, Misfit, raw::MtaStsMode},
    mail::address::Domain,
    relay::sts::{Mode, Policy},
};

/// The file.
///
/// # Errors
/// When it would name no host, or what is none.
pub(super) fn text(config: &Config) -> Result<String, Misfit> {
    let given = &config.mta_sts;
    let mx = match given.mx.as_slice() {
        [] => {
            let name = &config.server.hostname;
            let host = Domain::parse(name);
            vec![host.map_or_else(|_| name.clone(), |host| host.as_str().to_owned())]
        }
        list => list.to_vec(),
    };
    let mode = match given.mode {
        MtaStsMode::None => Mode::None,
        MtaStsMode::Testing => Mode::Testing,
        MtaStsMode::Enforce => Mode::Enforce,
    };
    let policy = Policy {
        mode,
        mx: mx.iter().map(|name| name.to_ascii_lowercase()).collect(),
        max_age: u32::try_from(given.max_age.0.as_secs()).unwrap_or(u32::MAX),
    };
    let text: String = policy
        .lines()
        .iter()
        .map(|line| format!("{line}\r\n"))
        .collect();
    // What we could not read ourselves is not for others.
    if Policy::parse(text.as_bytes()).as_ref() != Some(&policy) {
        let shown = mx.join("\", \"");
        let text =
            format!("\"{shown}\": names of hosts are needed, or \"*.\" and one, 100 at most");
        return Err(Misfit::new("mta_sts.mx", text));
    }
    Ok(text)
}

/// What the record says of it: another one for each other text (RFC 8461 3.1).
pub(super) fn id(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::Span;

    fn config() -> Config {
        let mut config = Config::default();
        config.server.hostname = "MX.example.org".to_owned();
        config
    }

    #[test]
    fn the_policy_names_what_is_configured_and_else_our_own_name() {
        let mut config = config();
        assert_eq!(
            text(&config).unwrap(),
            "version: STSv1\r\nmode: testing\r\nmax_age: 604800\r\nmx: mx.example.org\r\n"
        );
        config.mta_sts.mode = MtaStsMode::Enforce;
        config.mta_sts.mx = vec!["mx1.example.org".to_owned(), "*.Backup.example".to_owned()];
        config.mta_sts.max_age = Span::secs(86_400);
        assert_eq!(
            text(&config).unwrap(),
            "version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\nmx: mx1.example.org\r\n\
             mx: *.backup.example\r\n"
        );
        config.mta_sts.mode = MtaStsMode::None;
        assert!(text(&config).unwrap().contains("mode: none\r\n"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for wrong in [
            "",
            "*",
            "a b",
            "x\r\nmode: none",
            "mx.*.example",
            "b\u{fc}.example",
        ] {
            let mut config = config();
            config.mta_sts.mx = vec![wrong.to_owned()];
            let error = text(&config).unwrap_err().to_string();
            assert!(error.starts_with("mta_sts.mx: "), "{error}");
        }
        let mut many = config();
        many.mta_sts.mx = vec!["mx.example.org".to_owned(); 101];
        assert!(text(&many).is_err());
    }

    #[test]
    fn another_policy_has_another_id() {
        let mut config = config();
        let first = id(&text(&config).unwrap());
        config.mta_sts.mode = MtaStsMode::Enforce;
        let second = id(&text(&config).unwrap());
        assert_ne!(first, second);
        assert!(first.len() == 8 && first.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
