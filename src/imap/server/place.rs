//! Where a name leads: the mailbox that a client means, whose it is, and what may be done with it.
//!
//! Names below `Other Users/` and `Shared/` lead to mailboxes of other accounts: the next level is
//! the account's address, and what follows is the mailbox's name there; nothing is its INBOX (RFC
//! 2342 5). Every verb about a mailbox by name comes through here, and asks the [`Place`] for the
//! right it needs. What may not be known to exist is as absent as what does not (RFC 4314 6).

use super::{
    People, Person,
    fault::{Refusal, Stop, forbidden, no_target, nonexistent, stop},
    session::Account,
};
use crate::{
    base::ids::{AccountId, MailboxId},
    imap::proto::{
        list::{OTHER_USERS, SHARED},
        response::Code,
    },
    mailbox::{Entry, Name, NotAName, Rights, SharedMailbox, Target},
};

/// A mailbox that a name leads to.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Whose it is; that need not be the session's account.
    pub(super) owner: AccountId,
    /// Its name, as this session calls it.
    pub(super) name: Name,
    /// What it is to its owner.
    pub(super) entry: Entry,
    /// What the session may do with it.
    pub(super) rights: Rights,
}

/// Whose mailbox a name is about, whether or not there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Realm {
    /// The session's own.
    Own(Name),
    /// Another account's, and its name there.
    Of(AccountId, Name),
    /// Nobody's that is known here.
    Nobody,
}

impl Place {
    /// The session's own mailbox.
    pub(super) fn own(account: Account<'_>, entry: Entry) -> Self {
        Self {
            owner: account.id(),
            name: entry.name.clone(),
            entry,
            rights: Rights::ALL,
        }
    }

    /// What another account shares, if there is a name for it here.
    pub(super) fn shared(people: &dyn People, shared: SharedMailbox) -> Option<Self> {
        let person = people.person(shared.owner)?;
        Some(Self {
            owner: shared.owner,
            name: shown_name(&person, &shared.entry.name)?,
            entry: shared.entry,
            rights: shared.rights,
        })
    }

    /// It as the target of COPY and MOVE.
    pub(super) fn target(&self, account: Account<'_>) -> Target {
        Target {
            account: self.owner,
            mailbox: self.entry.id,
            // RFC 4314 4: what the user may not set there is left out.
            flags: self.rights.flags(),
            quota_bytes: account.quota_bytes_of(self.owner),
            guest: (self.owner != account.id()).then(|| account.id()),
        }
    }

    /// Which mailbox of all.
    pub(super) fn id(&self) -> (AccountId, MailboxId) {
        (self.owner, self.entry.id)
    }

    /// This place, for those who have all of these rights.
    pub(super) fn with(self, needed: Rights) -> Result<Self, Refusal> {
        if self.rights.contains(needed) {
            return Ok(self);
        }
        match self.rights.contains(Rights::LOOKUP) {
            true => Err(forbidden()),
            false => Err(nonexistent()),
        }
    }
}

/// The mailbox that a client calls `mailbox`; a text that cannot be a name names none.
pub(super) async fn find(account: Account<'_>, mailbox: &str) -> Result<Option<Place>, Stop> {
    match Name::parse(mailbox) {
        Ok(name) => found(account, &name).await,
        Err(_) => Ok(None),
    }
}

async fn found(account: Account<'_>, name: &Name) -> Result<Option<Place>, Stop> {
    let mailboxes = account.mailboxes();
    match realm(account, name).await? {
        Realm::Own(name) => {
            let found = mailboxes.find(account.id(), &name).await.map_err(stop)?;
            Ok(found.map(|entry| Place::own(account, entry)))
        }
        Realm::Of(owner, theirs) => {
            let Some(mut entry) = mailboxes.find(owner, &theirs).await.map_err(stop)? else {
                return Ok(None);
            };
            // What it is for is its owner's affair.
            entry.special_use = None;
            let rights = mailboxes.rights(account.id(), owner, entry.id).await;
            Ok(Some(Place {
                owner,
                name: name.clone(),
                entry,
                rights: rights.map_err(stop)?,
            }))
        }
        Realm::Nobody => Ok(None),
    }
}

/// A mailbox that was found by another name before, perhaps.
pub(super) async fn renamed(account: Account<'_>, place: &Place) -> Result<Place, Stop> {
    let mut place = place.clone();
    let name = account.mailboxes().name(place.owner, place.entry.id).await;
    if let Some(name) = name.map_err(stop)? {
        place.entry.name = name;
        place.name = match place.owner == account.id() {
            true => place.entry.name.clone(),
            false => {
                let person = account.services.people.person(place.owner);
                let shown = person.and_then(|person| shown_name(&person, &place.entry.name));
                shown.unwrap_or(place.name)
            }
        };
    }
    Ok(place)
}

/// The mailbox that a client calls `mailbox`, for those who have these rights.
pub(super) async fn find_with(
    account: Account<'_>,
    mailbox: &str,
    needed: Rights,
) -> Result<Result<Place, Refusal>, Stop> {
    let found = find(account, mailbox).await?;
    let found = found.ok_or_else(nonexistent);
    Ok(found.and_then(|place| place.with(needed)))
}

/// The mailbox that messages go to. RFC 3501 6.3.11, 6.4.7: TRYCREATE only where CREATE can help.
pub(super) async fn target(
    account: Account<'_>,
    mailbox: &str,
) -> Result<Result<Place, Refusal>, Stop> {
    let name = match new_name(mailbox) {
        Ok(name) => name,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(place) = found(account, &name).await? {
        return Ok(place.with(Rights::INSERT));
    }
    Ok(Err(match realm(account, &name).await? {
        Realm::Own(_) => no_target(),
        Realm::Of(owner, theirs) if may_create(account, owner, &theirs).await? => no_target(),
        Realm::Of(..) | Realm::Nobody => nonexistent(),
    }))
}

/// Whether the session may make this mailbox of another account: that is for the nearest mailbox
/// above it to say, and for INBOX above all (RFC 4314 4).
pub(super) async fn may_create(
    account: Account<'_>,
    owner: AccountId,
    theirs: &Name,
) -> Result<bool, Stop> {
    let mailboxes = account.mailboxes();
    let above = std::iter::successors(theirs.parent(), Name::parent);
    for name in above.chain([Name::inbox()]) {
        if let Some(entry) = mailboxes.find(owner, &name).await.map_err(stop)? {
            let rights = mailboxes.rights(account.id(), owner, entry.id).await;
            return Ok(rights.map_err(stop)?.contains(Rights::CREATE));
        }
    }
    Ok(false)
}

/// The name of something that is not there yet.
pub(super) fn new_name(mailbox: &str) -> Result<Name, Refusal> {
    Name::parse(mailbox).map_err(|error| match error {
        NotAName::Syntax => Refusal::no(
            Code::Cannot,
            "a name has no empty level, no . or .., no control character",
        ),
        NotAName::TooLong => Refusal::no(
            Code::Limit,
            "a name has at most 1000 bytes in UTF-8, 255 in a level, and 32 levels",
        ),
    })
}

/// Whose mailbox a name is about. A mailbox of one's own that has such a name is reached by it
/// before those of others: so it can be opened, and renamed.
pub(super) async fn realm(account: Account<'_>, name: &Name) -> Result<Realm, Stop> {
    let realm = realm_of(&*account.services.people, account.id(), name);
    if matches!(realm, Realm::Own(_)) {
        return Ok(realm);
    }
    let own = account.mailboxes().find(account.id(), name).await;
    Ok(match own.map_err(stop)? {
        Some(_) => Realm::Own(name.clone()),
        None => realm,
    })
}

fn realm_of(people: &dyn People, user: AccountId, name: &Name) -> Realm {
    let mut levels = name.levels();
    if !matches!(levels.next(), Some(OTHER_USERS | SHARED)) {
        return Realm::Own(name.clone());
    }
    let owner = levels
        .next()
        .and_then(|level| people.account(&address_of(level)));
    let owner = owner.filter(|owner| *owner != user);
    let known = owner.and_then(|owner| Some((owner, root(&people.person(owner)?)?)));
    let Some((owner, root)) = known else {
        return Realm::Nobody;
    };
    if *name == root {
        return Realm::Of(owner, Name::inbox());
    }
    // An account has one name here, and so has its INBOX.
    let theirs = name.as_str().strip_prefix(root.as_str());
    let theirs = theirs.and_then(|rest| rest.strip_prefix(Name::SEPARATOR));
    let theirs = theirs.and_then(|rest| Name::parse(rest).ok());
    match theirs.filter(|theirs| !theirs.is_inbox()) {
        Some(theirs) => Realm::Of(owner, theirs),
        None => Realm::Nobody,
    }
}

/// What others call a mailbox of this account; `None` where that would be no name.
fn shown_name(person: &Person, theirs: &Name) -> Option<Name> {
    let root = root(person)?;
    match theirs.is_inbox() {
        true => Some(root),
        false => Name::parse(&format!("{root}{}{theirs}", Name::SEPARATOR)).ok(),
    }
}

/// What others call the INBOX of this account.
fn root(person: &Person) -> Option<Name> {
    let above = if person.shared { SHARED } else { OTHER_USERS };
    Name::parse(&format!("{above}/{}", level_of(&person.address))).ok()
}

/// An address as one level of a name: it may have a slash in it.
fn level_of(address: &str) -> String {
    address.replace('=', "=3D").replace('/', "=2F")
}

fn address_of(level: &str) -> String {
    level.replace("=2F", "/").replace("=3D", "=")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Account 1 is alice, 2 has a slash and an equals sign, 3 is a shared one.
    struct Three;

    const ADDRESSES: [&str; 3] = ["alice@example.org", "a/b=c@example.org", "team@example.org"];

    impl People for Three {
        fn quota_bytes(&self, _account: AccountId) -> Option<u64> {
            None
        }

        fn account(&self, name: &str) -> Option<AccountId> {
            let is_this = |address: &&str| address.eq_ignore_ascii_case(name);
            let place = ADDRESSES.iter().position(is_this)?;
            Some(AccountId(place as u64 + 1))
        }

        fn person(&self, account: AccountId) -> Option<Person> {
            let place = usize::try_from(account.0).ok()?.checked_sub(1)?;
            Some(Person {
                address: (*ADDRESSES.get(place)?).to_owned(),
                shared: account.0 == 3,
            })
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_mailbox_has_one_name_for_others() {
        for owner in 1..=3 {
            let person = Three.person(AccountId(owner)).unwrap();
            for theirs in ["INBOX", "INBOX/Lists", "Work", "Shared/x", "a=2Fb"] {
                let shown = shown_name(&person, &name(theirs)).unwrap();
                let realm = realm_of(&Three, AccountId(9), &shown);
                assert_eq!(realm, Realm::Of(AccountId(owner), name(theirs)), "{shown}");
            }
        }
        let shown = shown_name(&Three.person(AccountId(2)).unwrap(), &name("x")).unwrap();
        assert_eq!(shown.as_str(), "Other Users/a=2Fb=3Dc@example.org/x");
    }

    #[test]
    fn other_spellings_are_nobodys() {
        for text in [
            "Other Users",
            "Shared",
            "Other Users/alice",
            "Other Users/Alice@example.org",
            "Other Users/alice@example.org/INBOX",
            "Other Users/alice@example.org/inbox",
            "Other Users/team@example.org",
            "Shared/alice@example.org",
            "Other Users/nobody@example.org/x",
        ] {
            assert_eq!(
                realm_of(&Three, AccountId(9), &name(text)),
                Realm::Nobody,
                "{text}"
            );
        }
        let own = name("Other Users/alice@example.org");
        assert_eq!(realm_of(&Three, AccountId(1), &own), Realm::Nobody);
        for text in ["INBOX", "other users/x", "Sharedx/y", "Work/Shared"] {
            let realm = realm_of(&Three, AccountId(1), &name(text));
            assert_eq!(realm, Realm::Own(name(text)));
        }
    }
}
