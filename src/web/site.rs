//! What is where: from the head of a request to the answer.
//!
//! Pure. A host that is none of ours is told so whatever it is asked for; then comes the path, then
//! the method.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue},
    http::uri::Authority,
};

use crate::mail::address::Domain;

/// What the head of a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The policy of a domain whose mail comes here.
    Policy(Domain),
    /// To do something with it that cannot be done.
    Forbidden(Domain),
    /// What is not there.
    Nothing,
    /// Something of another host.
    Elsewhere,
    /// It does not say from whom.
    Unclear,
}

impl Wanted {
    /// By this request, where `is_local` knows the domains.
    pub(super) fn by<B>(request: &Request<B>, is_local: impl FnOnce(&Domain) -> bool) -> Self {
        let host = match host(request) {
            Ok(host) => host,
            Err(Ambiguous) => return Self::Unclear,
        };
        // RFC 8461 3.2: the policy host.
        let domain = host.as_deref().and_then(|host| {
            let name = host.strip_suffix('.').unwrap_or(host);
            Domain::parse(name.strip_prefix("mta-sts.")?).ok()
        });
        let Some(domain) = domain.filter(is_local) else {
            return Self::Elsewhere;
        };
        // RFC 8461 3.3: the path. What a question mark adds changes nothing.
        match (request.uri().path(), request.method()) {
            (PATH, &Method::GET | &Method::HEAD) => Self::Policy(domain),
            (PATH, _) => Self::Forbidden(domain),
            _ => Self::Nothing,
        }
    }

    /// The answer, with `policy` where that is wanted.
    pub(super) fn answer(&self, policy: &Bytes) -> Response<Full<Bytes>> {
        let (status, content): (_, Bytes) = match self {
            Self::Policy(_) => (StatusCode::OK, policy.clone()),
            Self::Forbidden(_) => (StatusCode::METHOD_NOT_ALLOWED, "not allowed\r\n".into()),
            Self::Nothing => (StatusCode::NOT_FOUND, "nothing is here\r\n".into()),
            // RFC 9110 15.5.20.
            Self::Elsewhere => (StatusCode::MISDIRECTED_REQUEST, "not this host\r\n".into()),
            Self::Unclear => (StatusCode::BAD_REQUEST, "which host?\r\n".into()),
        };
        let mut response = Response::new(Full::new(content));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        // RFC 8461 3.2: the type of a policy.
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 9110 15.5.6.
            fields.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// A request that names no host where it must, or several.
struct Ambiguous;

/// Whom the request is for, in lower case and without a port; `None` where it need not say so.
fn host<B>(request: &Request<B>) -> Result<Option<String>, Ambiguous> {
    let mut fields = request.headers().get_all(HOST).iter();
    // RFC 9112 3.2.
    let (field, None) = (fields.next(), fields.next()) else {
        return Err(Ambiguous);
    };
    if field.is_none() && request.version() == Version::HTTP_11 {
        return Err(Ambiguous);
    }
    let host = |authority: &Authority| authority.host().to_ascii_lowercase();
    // RFC 9112 3.2.2: what a request line names in full counts.
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(host(authority)));
    }
    let authority = field.map(|field| Authority::try_from(field.as_bytes()));
    match authority.transpose() {
        Ok(authority) => Ok(authority.as_ref().map(host)),
        Err(_) => Err(Ambiguous),
    }
}

/// RFC 8461 3.3.
const PATH: &str = "/.well-known/mta-sts.txt";

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(method: &str, target: &str, hosts: &[&str]) -> u16 {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let request = request.body(()).unwrap();
        let wanted = Wanted::by(&request, |domain| domain.as_str() == "example.org");
        let policy = Bytes::from_static(b"policy");
        wanted.answer(&policy).status().as_u16()
    }

    #[test]
    fn a_policy_is_found_by_its_host_its_path_and_two_methods() {
        let ours = "mta-sts.example.org";
        for (method, target, hosts, status) in [
            ("GET", PATH, &[ours][..], 200),
            ("HEAD", PATH, &[ours], 200),
            ("GET", "/.well-known/mta-sts.txt?x=1", &[ours], 200),
            ("GET", PATH, &["MTA-STS.Example.ORG.:8443"], 200),
            // RFC 9112 3.2.2.
            (
                "GET",
                "https://mta-sts.example.org/.well-known/mta-sts.txt",
                &["x.example"],
                200,
            ),
            (
                "GET",
                "https://x.example/.well-known/mta-sts.txt",
                &[ours],
                421,
            ),
            ("POST", PATH, &[ours], 405),
            ("DELETE", PATH, &[ours], 405),
            ("PRI", PATH, &[ours], 405),
            ("GET", "/", &[ours], 404),
            ("GET", "/.well-known/MTA-STS.txt", &[ours], 404),
            ("GET", "/.well-known/mta-sts.txt/", &[ours], 404),
            ("GET", "/x/../.well-known/mta-sts.txt", &[ours], 404),
            ("OPTIONS", "*", &[ours], 404),
            ("GET", PATH, &["example.org"], 421),
            ("GET", PATH, &["mta-sts.elsewhere.example"], 421),
            ("GET", PATH, &["mta-sts.mta-sts.example.org"], 421),
            ("GET", PATH, &["mta-sts."], 421),
            ("GET", PATH, &["[::1]:443"], 421),
            ("GET", PATH, &["mta-sts.[192.0.2.1]"], 421),
            ("GET", PATH, &[""], 400),
            ("GET", PATH, &["a b"], 400),
            ("GET", PATH, &[], 400),
            ("GET", PATH, &[ours, ours], 400),
        ] {
            assert_eq!(
                wanted(method, target, hosts),
                status,
                "{method} {target} {hosts:?}"
            );
        }
    }

    #[test]
    fn who_cannot_do_what_he_asks_for_hears_what_he_can() {
        let request = Request::post(PATH).header(HOST, "mta-sts.example.org");
        let request = request.body(()).unwrap();
        let answer = Wanted::by(&request, |_| true).answer(&Bytes::new());
        assert_eq!(answer.headers()[ALLOW], "GET, HEAD");
        // HTTP/1.0 knows no Host field.
        let mut request = Request::get(PATH).body(()).unwrap();
        *request.version_mut() = Version::HTTP_10;
        assert_eq!(Wanted::by(&request, |_| true), Wanted::Elsewhere);
    }
}
