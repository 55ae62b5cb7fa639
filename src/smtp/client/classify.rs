//! What a reply means for the recipients it speaks of: RFC 5321 4.2.1, 4.5.3.1.10; Q-03.
//!
//! Pure: a reply and the stage of the conversation in, a verdict out. The stage matters: a 5xx to
//! RCPT is about a recipient, a 5xx greeting is about the host, and says nothing of the mail.

use super::reply::Reply;

/// How far the conversation is: what the reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The connection itself.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The final dot.
    Content,
}

/// What a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on; after the final dot: delivered.
    Yes,
    /// Not now: try again later.
    Later,
    /// Never: report to the sender.
    Never,
    /// Not this recipient in this transaction, but perhaps in the next one.
    TooMany,
    /// This host does not talk to us: try the next one.
    NextHost,
}

/// What `reply` means at `stage`.
pub(super) fn classify(stage: Stage, reply: &Reply) -> Verdict {
    let host_stage = matches!(
        stage,
        Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth
    );
    match (reply.code, stage) {
        // RFC 5321 4.2.1: the only 3yz replies we wait for.
        (354, Stage::Data) | (334, Stage::Auth) => Verdict::Yes,
        (200..=299, Stage::Data) => Verdict::Later,
        (200..=299, _) => Verdict::Yes,
        (_, _) if host_stage => Verdict::NextHost,
        // RFC 5321 4.5.3.1.10: 552 is what older servers say instead of 452.
        (452 | 552, Stage::Rcpt) if speaks_of_too_many(reply) => Verdict::TooMany,
        // RFC 5321 3.8: the server is closing; this says nothing of the mail.
        (421, _) => Verdict::Later,
        (500..=599, _) => Verdict::Never,
        _ => Verdict::Later,
    }
}

/// RFC 3463 X.5.3, or a 452 without any enhanced code. A 552 without one is a full mailbox.
fn speaks_of_too_many(reply: &Reply) -> bool {
    match reply.enhanced {
        Some(enhanced) => (enhanced.1, enhanced.2) == (5, 3),
        None => reply.code == 452,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::reply::Enhanced, *};

    #[test]
    fn q_03_replies_mean_what_their_stage_makes_of_them() {
        use Stage as S;
        use Verdict as V;
        let e = |class, subject, detail| Some(Enhanced(class, subject, detail));
        for (stage, code, enhanced, verdict) in [
            (S::Greeting, 220, None, V::Yes),
            (S::Greeting, 421, None, V::NextHost),
            (S::Greeting, 554, None, V::NextHost),
            (S::Hello, 250, None, V::Yes),
            (S::Hello, 550, None, V::NextHost),
            (S::StartTls, 220, None, V::Yes),
            (S::StartTls, 454, None, V::NextHost),
            (S::Auth, 235, None, V::Yes),
            (S::Auth, 334, None, V::Yes),
            // A wrong password in our configuration is not the fault of any mail.
            (S::Auth, 535, e(5, 7, 8), V::NextHost),
            (S::Mail, 250, None, V::Yes),
            (S::Mail, 421, None, V::Later),
            (S::Mail, 451, None, V::Later),
            (S::Mail, 552, e(5, 3, 4), V::Never),
            (S::Rcpt, 250, None, V::Yes),
            (S::Rcpt, 251, None, V::Yes),
            (S::Rcpt, 421, None, V::Later),
            (S::Rcpt, 450, None, V::Later),
            (S::Rcpt, 452, None, V::TooMany),
            (S::Rcpt, 452, e(4, 5, 3), V::TooMany),
            (S::Rcpt, 452, e(4, 2, 2), V::Later),
            (S::Rcpt, 550, e(5, 1, 1), V::Never),
            (S::Rcpt, 552, None, V::Never),
            (S::Rcpt, 552, e(5, 2, 2), V::Never),
            (S::Rcpt, 552, e(5, 5, 3), V::TooMany),
            (S::Rcpt, 354, None, V::Later),
            (S::Data, 354, None, V::Yes),
            (S::Data, 250, None, V::Later),
            (S::Data, 451, None, V::Later),
            (S::Data, 554, None, V::Never),
            (S::Content, 250, None, V::Yes),
            (S::Content, 354, None, V::Later),
            (S::Content, 421, None, V::Later),
            (S::Content, 452, None, V::Later),
            (S::Content, 552, None, V::Never),
            (S::Content, 554, None, V::Never),
        ] {
            let reply = Reply {
                code,
                enhanced,
                lines: Vec::new(),
            };
            assert_eq!(classify(stage, &reply), verdict, "{stage:?} {code}");
        }
    }
}
