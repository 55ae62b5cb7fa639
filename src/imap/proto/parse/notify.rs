//! The grammar of NOTIFY (RFC 5465 8).

use super::{Mistake, Parsed, Scanner, fetch, sources};
use crate::imap::proto::{
    command::CommandBody,
    fetch::FetchItem,
    limits::NOTIFY_GROUPS_MAX,
    notify::{Events, Group, SelectedEvents, Wishes},
    response::Code,
    sources::Source,
};

/// `"NOTIFY" SP (notify-set / notify-none)`
pub fn notify(scanner: &mut Scanner<'_>) -> Parsed<CommandBody> {
    scanner.space()?;
    let word = scanner.word().to_ascii_uppercase();
    let wishes = match word.as_slice() {
        b"NONE" => None,
        b"SET" => Some(wishes(scanner)?),
        _ => return Err(Mistake::bad("NOTIFY takes SET or NONE")),
    };
    scanner.end()?;
    Ok(CommandBody::Notify(wishes.map(Box::new)))
}

/// `[status-indicator] SP event-groups`
fn wishes(scanner: &mut Scanner<'_>) -> Parsed<Wishes> {
    scanner.space()?;
    let status = match scanner.word().to_ascii_uppercase().as_slice() {
        b"" => false,
        b"STATUS" => {
            scanner.space()?;
            true
        }
        _ => return Err(Mistake::bad(GROUP)),
    };
    let (mut selected, mut groups, mut names) = (None, Vec::new(), 0);
    loop {
        scanner.expect(b'(', GROUP)?;
        match filter(scanner, &mut names)? {
            Filter::Selected { delayed } => {
                if selected.is_some() {
                    // RFC 5465 6.1
                    return Err(Mistake::bad("only one group is of the selected mailbox"));
                }
                let (events, items) = events(scanner)?;
                if !Events::OF_MESSAGES.contains(events) {
                    return Err(Mistake::bad(
                        "of the selected mailbox only events of messages are told",
                    ));
                }
                selected = Some(SelectedEvents {
                    delayed,
                    events,
                    items,
                });
            }
            Filter::Others(source) => {
                let (events, items) = events(scanner)?;
                if !items.is_empty() {
                    return Err(Mistake::bad(
                        "items are told of messages in the selected mailbox only",
                    ));
                }
                groups.push(Group { source, events });
            }
        }
        scanner.expect(b')', GROUP)?;
        if scanner.is_at_end() {
            break;
        }
        scanner.space()?;
        if groups.len() >= NOTIFY_GROUPS_MAX {
            return Err(too_much());
        }
    }
    Ok(Wishes {
        status,
        selected: selected.unwrap_or_default(),
        groups,
    })
}

enum Filter {
    Selected { delayed: bool },
    Others(Source),
}

/// `filter-mailboxes SP`
fn filter(scanner: &mut Scanner<'_>, names: &mut usize) -> Parsed<Filter> {
    let mut ahead = scanner.clone();
    let word = ahead.word().to_ascii_lowercase();
    let filter = match word.as_slice() {
        b"selected" | b"selected-delayed" => {
            *scanner = ahead;
            Filter::Selected {
                delayed: word.len() > b"selected".len(),
            }
        }
        // A scope of RFC 7377 alone.
        b"subtree-one" => return Err(Mistake::bad(GROUP)),
        _ => {
            let source = sources::source(scanner, names);
            Filter::Others(source.map_err(|mistake| match mistake.code {
                Some(Code::Limit) => too_much(),
                _ => mistake,
            })?)
        }
    };
    scanner.space()?;
    Ok(filter)
}

/// `events`
fn events(scanner: &mut Scanner<'_>) -> Parsed<(Events, Vec<FetchItem>)> {
    let (mut events, mut items) = (Events::NONE, Vec::new());
    if !scanner.eat(b'(') {
        return match scanner.word().eq_ignore_ascii_case(b"NONE") {
            true => Ok((events, items)),
            false => Err(Mistake::bad(GROUP)),
        };
    }
    loop {
        let name = scanner.atom()?;
        // RFC 5465 3.1: NO, with all that are supported.
        let event = Events::named(name)
            .ok_or_else(|| Mistake::no(Code::BadEvent, "this event is not supported"))?;
        events = events.with(event);
        if scanner.eat(b')') {
            break;
        }
        scanner.space()?;
        if event == Events::MESSAGE_NEW && scanner.peek() == Some(b'(') {
            items = fetch::fetch_items(scanner)?;
            if scanner.eat(b')') {
                break;
            }
            scanner.space()?;
        }
    }
    // RFC 5465 5
    let pair = Events::MESSAGE_NEW.with(Events::MESSAGE_EXPUNGE);
    if events.intersects(Events::OF_MESSAGES) && !events.contains(pair) {
        return Err(Mistake::bad(
            "MessageNew and MessageExpunge go together, and FlagChange with both",
        ));
    }
    Ok((events, items))
}

/// RFC 5465 3.1: too expensive.
fn too_much() -> Mistake {
    Mistake::no(
        Code::NotificationOverflow,
        "a NOTIFY may have 100 groups and name 1000 mailboxes",
    )
}

const GROUP: &str =
    "NOTIFY SET takes groups, as in (selected (MessageNew MessageExpunge)) (inboxes NONE)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::proto::parse::tests::{assert_all_refused, parse, parsed};

    fn wishes_of(text: &str) -> Option<Wishes> {
        match parsed(text)? {
            CommandBody::Notify(wishes) => wishes.map(|wishes| *wishes),
            _ => None,
        }
    }

    const PAIR: Events = Events::OF_MESSAGES;

    #[test]
    fn groups_are_read_as_the_grammar_says() {
        assert_eq!(parsed("NOTIFY NONE"), Some(CommandBody::Notify(None)));
        let wishes = wishes_of(
            "notify set status (selected-delayed (messagenew (uid flags) MessageExpunge \
             FlagChange)) (mailboxes (a \"b c\") (MessageExpunge MessageNew)) (subtree x NONE) \
             (Personal (MailboxName SubscriptionChange))",
        )
        .unwrap();
        assert!(wishes.status && wishes.selected.delayed);
        assert_eq!(wishes.selected.events, PAIR);
        assert_eq!(wishes.selected.items, [FetchItem::Uid, FetchItem::Flags]);
        let names = vec!["a".to_owned(), "b c".to_owned()];
        let expected = [
            Source::Mailboxes(names),
            Source::Subtree(vec!["x".to_owned()]),
            Source::Personal,
        ];
        let sources = wishes.groups.iter().map(|group| group.source.clone());
        assert!(sources.eq(expected));
        let events = wishes.groups.iter().map(|group| group.events);
        let pair = Events::MESSAGE_NEW.with(Events::MESSAGE_EXPUNGE);
        let names = Events::MAILBOX_NAME.with(Events::SUBSCRIPTION_CHANGE);
        assert!(events.eq([pair, Events::NONE, names]));
        let none = wishes_of("NOTIFY SET (inboxes (MailboxName))").unwrap();
        assert!(!none.status && none.selected == SelectedEvents::default());
    }

    #[test]
    fn what_goes_together_goes_together() {
        assert_all_refused(&[
            "NOTIFY",
            "NOTIFY ALL",
            "NOTIFY NONE x",
            "NOTIFY SET",
            "NOTIFY SET STATUS",
            "NOTIFY SET (selected)",
            "NOTIFY SET (selected ())",
            "NOTIFY SET (selected MessageNew)",
            "NOTIFY SET (selected (MessageNew))",
            "NOTIFY SET (selected (MessageExpunge))",
            "NOTIFY SET (inboxes (FlagChange MessageNew))",
            "NOTIFY SET (selected (MailboxName))",
            "NOTIFY SET (selected NONE) (selected-delayed NONE)",
            "NOTIFY SET (personal (MessageNew (UID) MessageExpunge))",
            "NOTIFY SET (subtree-one x (MailboxName))",
            "NOTIFY SET (mailboxes (MailboxName))",
            "NOTIFY SET (selected (MessageNew () MessageExpunge))",
        ]);
        for name in ["AnnotationChange", "x-future"] {
            let refused = parse(&format!("NOTIFY SET (personal ({name}))")).unwrap_err();
            assert_eq!(refused.code, Some(Code::BadEvent), "{name}");
        }
    }

    #[test]
    fn lim_36_a_notify_has_a_hundred_groups_and_a_thousand_names() {
        let groups = |count: usize| format!("NOTIFY SET{}", " (inboxes NONE)".repeat(count));
        assert!(parsed(&groups(NOTIFY_GROUPS_MAX)).is_some());
        let refused = parse(&groups(NOTIFY_GROUPS_MAX + 1)).unwrap_err();
        assert_eq!(refused.code, Some(Code::NotificationOverflow));
        let names = |count: usize| format!("NOTIFY SET (mailboxes (x{}) NONE)", " x".repeat(count));
        assert!(parsed(&names(998)).is_some());
        let refused = parse(&names(999)).unwrap_err();
        assert_eq!(refused.code, Some(Code::NotificationOverflow));
    }
}
