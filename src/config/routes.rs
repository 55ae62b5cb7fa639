//! Hosts that an operator names: `[relay.smarthost]` and `[relay.routes]`.
//!
//! The shape alone; what the values must be like is checked where services are made of them.

use std::{fmt, net::IpAddr, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `[relay.smarthost]`, or a route that is a table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Smarthost {
    /// Its name, or the names of several that are tried in this order.
    pub host: OneOrMore,
    /// Its port.
    pub port: u16,
    /// How it is protected.
    #[serde(default)]
    pub tls: SmarthostTls,
    /// The user to log in as.
    pub user: Option<String>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// A file whose first line is an OAuth token, read for each session.
    pub token_file: Option<PathBuf>,
    /// The way to log in; without it the strongest that is offered.
    pub auth: Option<String>,
    /// Our addresses for these connections, one of each family at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<IpAddr>,
}

/// How the way to a smarthost is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmarthostTls {
    /// TLS from the first byte, certificate verified (port 465).
    Implicit,
    /// STARTTLS or nothing is sent, certificate verified (port 587).
    #[default]
    Starttls,
    /// STARTTLS when it is offered, any certificate.
    Opportunistic,
    /// No TLS.
    InsecureNone,
}

/// A value of `[relay.routes]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// `"mx"`, or one `"HOST:PORT"` or several.
    Short(OneOrMore),
    /// A table with the fields of the smarthost.
    Table(Box<Smarthost>),
}

/// A text or a list of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneOrMore {
    /// A text.
    One(String),
    /// A list.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

impl Route {
    /// Whether it does without TLS where that has to be said.
    pub(super) fn is_insecure(&self) -> bool {
        matches!(self, Self::Table(table) if table.tls == SmarthostTls::InsecureNone)
    }
}

impl Serialize for OneOrMore {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(text) => text.serialize(to),
            Self::More(texts) => texts.serialize(to),
        }
    }
}

impl Serialize for Route {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Short(texts) => texts.serialize(to),
            Self::Table(table) => table.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_any(Written("the name of a host, or a list of names"))? {
            Route::Short(texts) => Ok(texts),
            Route::Table(_) => Err(de::Error::custom("a name or a list of names is needed")),
        }
    }
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expected = "\"HOST:PORT\", a list of these, \"mx\", or a table with host and port";
        from.deserialize_any(Written(expected))
    }
}

/// Reads one route, or what else has one of its shapes. A visitor keeps what serde's untagged
/// enumerations lose: what is wrong within the shape that was meant.
struct Written(&'static str);

impl<'de> de::Visitor<'de> for Written {
    type Value = Route;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Route, E> {
        Ok(Route::Short(OneOrMore::One(text.to_owned())))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Route, A::Error> {
        let list = Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
        Ok(Route::Short(OneOrMore::More(list)))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Route, A::Error> {
        let table = Smarthost::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Route::Table(Box::new(table)))
    }
}
