//! The local socket: one JSON request, one JSON answer, each on a line, per connection.
//!
//! SYS-06: mode 0600 in a directory of mode 0700, and the peer must be the server's own user or
//! root. A malformed request closes that peer only; requests are bounded in length, number and
//! time.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{Addressing, Answer, Operations, Request};
use crate::base::future::{Panicked, caught};

/// Where the socket of a data directory is.
pub fn path_in(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Binds the socket. What an earlier process left there is removed: the caller holds the store's
/// lock.
///
/// # Errors
/// As the system says.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves requests, one peer after the other, until `stop`.
pub async fn serve(
    listener: UnixListener,
    operations: Operations,
    stop: impl Future<Output = ()> + Send,
) {
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return,
        };
        match accepted {
            Ok((stream, _)) => {
                // One operator at a time: requests are short, and a stuck peer is cut off.
                let conversation = caught(converse(stream, &operations));
                match timeout(PEER_TIME_MAX, conversation).await {
                    Ok(Ok(())) => {}
                    Ok(Err(Panicked)) => {
                        tracing::error!("an operator's request hit a bug; others are still served");
                    }
                    Err(_) => tracing::warn!("a peer at the local socket took too long"),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept at the local socket");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, operations: &Operations) {
    let ours = rustix::process::getuid().as_raw();
    let peer = stream.peer_cred().map(|peer| peer.uid());
    if !peer.as_ref().is_ok_and(|uid| *uid == ours || *uid == 0) {
        tracing::warn!(
            peer.uid = peer.ok(),
            "somebody else's process at the local socket was refused"
        );
        let why = "the server refused this user: run as the server's user";
        return say(&mut stream, &Answer::Refused(why.to_owned())).await;
    }
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader.take(REQUEST_BYTES_MAX));
    let mut line = String::new();
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => {
            match name_of(&request) {
                // Asked twice a second while an operator watches.
                request @ "queue watch" => tracing::debug!(request, "operator's request"),
                request => tracing::info!(request, "operator's request"),
            }
            let done = timeout(REQUEST_TIME_MAX, operations.execute(request)).await;
            done.unwrap_or_else(|_| Answer::Refused(NOT_IN_TIME.to_owned()))
        }
        Err(error) => Answer::Refused(format!("not a request: {error}")),
    };
    say(&mut writer, &answer).await;
}

async fn say(to: &mut (impl AsyncWrite + Unpin), answer: &Answer) {
    if let Ok(mut text) = serde_json::to_string(answer) {
        text.push('\n');
        let _ = to.write_all(text.as_bytes()).await;
    }
}

/// Sends one request to the server that has the socket at `path`. `None` when no server is there.
///
/// # Errors
/// When the server is there and the conversation fails.
pub async fn ask(path: &Path, request: &Request) -> io::Result<Option<Answer>> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if nobody_listens(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.is_empty() {
        return Err(io::Error::other("the server gave no answer: see its log"));
    }
    Ok(Some(serde_json::from_str(&answer)?))
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// The kind of a request, for the log: its fields may hold a password.
fn name_of(request: &Request) -> &'static str {
    match request {
        Request::DomainAdd { .. } => "domain add",
        Request::DomainRemove { .. } => "domain remove",
        Request::DomainCatchAll { .. } => "domain catch-all",
        Request::DomainList => "domain list",
        Request::DkimGenerate { .. } => "dkim generate",
        Request::DkimList { .. } => "dkim list",
        Request::DkimDrop { .. } => "dkim drop",
        Request::AccountAdd { .. } => "account add",
        Request::AccountAddShared { .. } => "account add --shared",
        Request::AccountRemove { .. } => "account remove",
        Request::AccountShow { .. } => "account show",
        Request::AccountList => "account list",
        Request::AccountPassword { .. } => "account password",
        Request::AccountQuota { .. } => "account quota",
        Request::AccountDisable { disabled: true, .. } => "account disable",
        Request::AccountDisable { .. } => "account enable",
        Request::AccountForward { .. } => "account forward",
        Request::AccountOutOfOffice { .. } => "account out-of-office",
        Request::SrsRotate => "srs rotate",
        Request::SrsList => "srs list",
        Request::Addressing { request } => match request {
            Addressing::DomainAlias { .. } => "domain alias",
            Addressing::GroupAdd { .. } => "group add",
            Addressing::GroupSet { .. } => "group set",
            Addressing::GroupRemove { .. } => "group remove",
            Addressing::GroupShow { .. } => "group show",
            Addressing::GroupList => "group list",
            Addressing::SendAs { granted: true, .. } => "account send-as add",
            Addressing::SendAs { .. } => "account send-as remove",
            Addressing::SendAsList { .. } => "account send-as list",
        },
        Request::AliasAdd { .. } => "alias add",
        Request::AliasSet { .. } => "alias set",
        Request::AliasRemove { .. } => "alias remove",
        Request::AliasList => "alias list",
        Request::AclList { .. } => "mailbox acl list",
        Request::AclSet { .. } => "mailbox acl set",
        Request::AclDelete { .. } => "mailbox acl delete",
        Request::Queue { request } => request.name(),
        Request::SearchIndexStatus => "search-index status",
        Request::SearchIndexRebuild => "search-index rebuild",
    }
}

const REQUEST_BYTES_MAX: u64 = 1024 * 1024;
const PEER_TIME_MAX: Duration = Duration::from_secs(30);
/// Of that, for the work itself: there must be time to say that it was not enough.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(25);
const NOT_IN_TIME: &str = "there was more to do than the server does for one request (25 seconds); \
    part of it may be done: ask again to go on";

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        accounts::{self, Directory},
        admin::QueueRequest,
        base::{
            clock::{Clock, Timestamp},
            random::Random,
        },
        fulltext::Fulltext,
        mailbox::{self, Mailboxes},
        queue::{self, Queue},
        store::{Engine, fault::Fault, memory::Memory},
    };

    pub(in crate::admin) async fn operations_over(engine: Arc<dyn Engine>) -> Operations {
        let (clock, random) = (
            Clock::steered(Timestamp::from_secs(1_000_000)),
            Random::seeded(1),
        );
        let options = accounts::Options::default();
        let directory = Directory::open(engine.clone(), clock.clone(), random.clone(), options);
        let directory = directory.await.unwrap();
        let options = mailbox::Options::default();
        let mailboxes = Mailboxes::new(engine.clone(), clock.clone(), random.clone(), options);
        let chance = (clock.clone(), random.clone());
        let queue = Queue::new(engine, clock, random, queue::Options::default());
        Operations::new(directory, mailboxes, queue, Fulltext::default(), chance)
    }

    #[tokio::test]
    async fn a_request_that_hits_a_bug_ends_no_others() {
        let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
        let operations = operations_over(fault.clone()).await;
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        let listener = bind(&path).unwrap();
        fault.before_commit(1, Box::pin(async { panic!("on purpose") }));
        let asked = async {
            let add = || Request::DomainAdd {
                name: "example.org".to_owned(),
            };
            assert!(ask(&path, &add()).await.is_err());
            let answer = ask(&path, &add()).await.unwrap();
            assert!(matches!(answer, Some(Answer::Done(_))), "{answer:?}");
        };
        tokio::select! {
            () = serve(listener, operations, std::future::pending()) => {}
            () = asked => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_said_to() {
        let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
        let operations = operations_over(fault.clone()).await;
        for (each, in_time) in [(1, true), (60, false)] {
            fault.delay_reads(Duration::from_secs(each));
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            let request = Request::Queue {
                request: QueueRequest::Show {
                    id: "01m7zbns2jvqsnwcc5261ghbv8".to_owned(),
                },
            };
            let line = serde_json::to_string(&request).unwrap() + "\n";
            ours.write_all(line.as_bytes()).await.unwrap();
            let served = timeout(PEER_TIME_MAX, converse(theirs, &operations));
            served.await.unwrap();
            let mut answer = String::new();
            ours.read_to_string(&mut answer).await.unwrap();
            match serde_json::from_str(&answer).unwrap() {
                Answer::Done(_) => assert!(in_time),
                Answer::Refused(why) => assert_eq!(why == NOT_IN_TIME, !in_time, "{why}"),
            }
        }
    }
}
