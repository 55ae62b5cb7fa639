//! Route (interface only, until the real one is merged).
use crate::{
    base::ids::{AccountId, MessageId},
    mail::envelope::{Envelope, ForwardPath},
    mailbox::Arrived,
    store::Room,
};
/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// p
    Peer,
    /// a
    Account(AccountId),
    /// o
    Ourselves,
}
/// t
#[derive(Clone, Debug)]
pub struct Target(());
impl Target {
    /// l
    pub fn is_local(&self) -> bool {
        true
    }
}
/// r
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// u
    UnknownRecipient,
    /// r
    RelayDenied,
    /// o
    OverQuota,
    /// n
    NoRoom,
}
/// f
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct RouteFault;
/// a
pub struct Acceptance {
    /// i
    pub id: MessageId,
    /// o
    pub origin: Origin,
    /// e
    pub envelope: Envelope,
    /// t
    pub targets: Vec<Target>,
    /// a
    pub arrived: Arrived,
}
/// e
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// r
    #[error("r")]
    Refused(Refusal),
    /// f
    #[error("f")]
    Fault(#[source] RouteFault),
}
/// r
#[derive(Clone)]
pub struct Router;
impl Router {
    /// r
    pub async fn recipient(
        &self,
        _from: &Origin,
        _to: &ForwardPath,
    ) -> Result<Result<Target, Refusal>, RouteFault> {
        Err(RouteFault)
    }
    /// a
    pub async fn accept(&self, _a: Acceptance) -> Result<(), AcceptError> {
        Err(AcceptError::Fault(RouteFault))
    }
    /// r
    pub fn room(&self) -> Room {
        Room::Enough
    }
}
