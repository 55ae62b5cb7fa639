//! Files that are read, and what is said of those that are wrong.

use super::*;

const GOOD: &str = "[server]\nhostname = \"mail.example.org\"\n\n\
    [tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";

fn error_of(text: &str, settings: &[&str]) -> String {
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    load_text(text, Path::new("buzon.toml"), &settings, &|_| Ok(()))
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
    let as_it_is = load(&path, &[], &|_| Ok(())).unwrap();
    let mut defaults = Config::default();
    defaults.server.hostname = as_it_is.server.hostname.clone();
    defaults.tls = as_it_is.tls.clone();
    assert_eq!(as_it_is, defaults);
    let text = shipped(false);
    assert_eq!(
        load_text(&text, &path, &[], &|_| Ok(())).unwrap(),
        defaults,
        "{text}"
    );
    // Nothing is left out, and the examples are right too.
    let text = shipped(true);
    load_text(&text, &path, &[], &|_| Ok(())).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    for key in Config::keys() {
        let (part, name) = key.split_once('.').unwrap();
        assert!(table[part].get(name).is_some(), "{key} is missing");
    }
    let smarthost = table["relay"]["smarthost"].as_table().unwrap();
    assert_eq!(smarthost.len(), 7, "{smarthost:?}");
    assert!(table["relay"].get("routes").is_some());
    assert!(table["relay"].get("tls").is_some());
}

#[test]
fn what_is_in_force_is_written_as_a_file_that_says_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/buzon.toml");
    for text in [GOOD.to_owned(), shipped(false), shipped(true)] {
        let config = load_text(&text, &path, &[], &|_| Ok(())).unwrap();
        let written = config.to_toml().unwrap();
        assert_eq!(
            load_text(&written, &path, &[], &|_| Ok(())).unwrap(),
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
        ("imap.message_limit=999", "1000 (RFC 9738 3)"),
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
            "[server]\nhostname = \"mail_1.example\"\n",
            &["buzon.toml:2: server.hostname", "underscore"],
        ),
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
    for (setting, part) in [
        (
            "connections = 0",
            "buzon.toml:9: relay.destinations.a.example.connections: must be",
        ),
        (
            "rate = \"0/min\"",
            "buzon.toml:9: relay.destinations.a.example.rate: must be",
        ),
        ("rate = \"many\"", "a rate like"),
        ("retry = []", "a.example.retry: must be at least 1 wait"),
        ("give_up = \"99d\"", "a.example.give_up: 99d is more"),
        ("speed = 1", "speed"),
    ] {
        let text = format!("{GOOD}\n[relay.destinations.\"a.example\"]\n{setting}\n");
        let error = error_of(&text, &[]);
        assert!(error.contains(part), "{part} not in: {error}");
    }
    let few = format!("{GOOD}\n[smtp]\nrecipients = 5\n");
    assert!(error_of(&few, &[]).starts_with("buzon.toml:9: smtp.recipients"));
    for (limit, ok) in [(0, true), (1, false), (999, false), (1000, true)] {
        let text = format!("{GOOD}\n[imap]\nmessage_limit = {limit}\n");
        let loaded = load_text(&text, Path::new("buzon.toml"), &[], &|_| Ok(()));
        assert_eq!(loaded.is_ok(), ok, "{limit}");
        let place = "buzon.toml:9: imap.message_limit";
        assert!(ok || error_of(&text, &[]).starts_with(place));
    }
}

#[test]
fn nonsense_is_refused_with_its_place() {
    for (setting, part) in [
        ("limits.message=\"999 GiB\"", "at most 1 GiB"),
        ("limits.message=5", "at least 64 KiB"),
        ("queue.retry=[]", "at least 1 wait"),
        ("queue.retry=[\"5m\", 0]", "at least 1s"),
        ("queue.give_up=\"900d\"", "at most 30d"),
        ("server.data=/proc/foo", "on a disk"),
        ("server.data=", "on a disk"),
        ("relay.port=0", "at least 1"),
        ("auth.argon2_memory_kib=4294967295", "at most 4194304"),
        ("store.segment=\"1 KiB\"", "at least 1 MiB"),
        ("accounts.tag_separator=x", "one character"),
        ("accounts.tag_separator=++", "one character"),
    ] {
        let error = error_of(GOOD, &[setting]);
        let start = format!("--set {setting}: ");
        assert!(error.starts_with(&start) && error.contains(part), "{error}");
    }
    let fits = |_: &Config| Err(Misfit::new("relay.routes.a.example", "no"));
    for (text, place) in [
        (
            "[relay.routes]\n\"a.example\" = \"x\"\n",
            "x.toml:8: relay.routes.a.example: no",
        ),
        ("", "x.toml: relay.routes.a.example: no"),
    ] {
        let text = format!("{GOOD}{text}");
        let error = load_text(&text, Path::new("x.toml"), &[], &fits);
        assert_eq!(error.unwrap_err().to_string(), place);
    }
}

#[test]
fn dur_04_there_is_room_for_two_of_the_largest_messages() {
    let low = |size: &str| format!("store.low_water=\"{size}\"");
    let message = "limits.message=\"150 MiB\"";
    for settings in [
        &[message][..],
        &[message, &low("299 MiB")],
        &[&low("99 MiB")],
    ] {
        let error = error_of(GOOD, settings);
        let parts = ["store.low_water", "less than", "twice limits.message"];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let settings = [message.to_owned(), low("300 MiB")];
    load_text(GOOD, Path::new("x"), &settings, &|_| Ok(())).unwrap();
}

#[test]
fn two_listeners_of_one_address_are_named() {
    for (smtp, imap, parts) in [
        (
            "127.0.0.1:25",
            "127.0.0.1:25",
            &["x:8: listen.imap", "listen.smtp too"][..],
        ),
        (
            "[::]:25",
            "127.0.0.1:25",
            &["listen.imap", "part of [::]:25", "listen.smtp"],
        ),
        ("0.0.0.0:25", "[::]:25", &["listen.imap", "listen.smtp"]),
        ("0.0.0.0:25", "[::1]:25", &[]),
        ("[::]:25", "[::]:26", &[]),
        ("127.0.0.1:0", "127.0.0.1:0", &[]),
    ] {
        let text = format!("{GOOD}[listen]\nimap = [\"{imap}\"]\nsmtp = [\"{smtp}\"]\n");
        let loaded = load_text(&text, Path::new("x"), &[], &|_| Ok(()));
        let said = loaded.map_or_else(|error| error.to_string(), |_| String::new());
        let fits = parts.iter().all(|part| said.contains(part));
        assert!(
            fits && parts.is_empty() == said.is_empty(),
            "{smtp} {imap}: {said}"
        );
    }
    let twice = error_of(GOOD, &["listen.pop3=[\"[::]:110\", \"[::]:110\"]"]);
    assert!(twice.contains("listen.pop3 too"), "{twice}");
}

#[test]
fn lmtp_is_at_a_socket_or_another_port_than_25() {
    for (text, parts) in [
        ("lmtp = [\"/run/buzon/lmtp\", \"[::1]:24\"]", &[][..]),
        (
            "lmtp = [\"127.0.0.1:25\"]\nsmtp = []",
            &["x:9: listen.lmtp", "RFC 2033"],
        ),
        (
            "lmtp = [\"127.0.0.1:143\"]",
            &["listen.lmtp", "listen.imap"],
        ),
        (
            "lmtp = [\n\"run/lmtp\"]",
            &["line 10", "ADDRESS:PORT or the path of a socket"],
        ),
    ] {
        let text = format!("{GOOD}\n[listen]\n{text}\n");
        let loaded = load_text(&text, Path::new("x"), &[], &|_| Ok(()));
        let said = loaded.map_or_else(|error| error.to_string(), |_| String::new());
        let fits = parts.iter().all(|part| said.contains(part));
        assert!(
            fits && parts.is_empty() == said.is_empty(),
            "{text}: {said}"
        );
    }
}

#[test]
fn proxies_stand_before_listeners_and_have_addresses() {
    for (text, parts) in [
        (
            "listeners = [\"[::]:25\"]",
            &["x:9: proxy.listeners", "proxy.from"][..],
        ),
        (
            "from = [\"10.0.0.1\"]\nlisteners = [\"[::]:26\"]",
            &["x:10: proxy.listeners", "nothing listens at [::]:26"],
        ),
        (
            "from = [\"10.0.0.1\",\n\"lb.example\"]",
            &["line 10", "IP address or network"],
        ),
        ("from = [\"0.0.0.0/0\"]", &["line 9", "names everybody"]),
        ("form = []", &["line 9", "unknown field"]),
        ("from = [\"10.0.0.1\"]\nlisteners = [\"[::]:25\"]", &[]),
    ] {
        let text = format!("{GOOD}\n[proxy]\n{text}\n");
        let loaded = load_text(&text, Path::new("x"), &[], &|_| Ok(()));
        let said = loaded.map_or_else(|error| error.to_string(), |_| String::new());
        let fits = parts.iter().all(|part| said.contains(part));
        assert!(
            fits && parts.is_empty() == said.is_empty(),
            "{text}: {said}"
        );
    }
}

#[test]
fn settings_of_the_command_line_are_laid_over_the_file() {
    let settings = [
        "limits.connections_per_address=5000",
        "server.hostname=mx.example.net",
    ];
    let settings = settings.map(str::to_owned);
    let config = load_text(GOOD, Path::new("x"), &settings, &|_| Ok(())).unwrap();
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
