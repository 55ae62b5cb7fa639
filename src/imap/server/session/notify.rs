//! NOTIFY in a session (RFC 5465): it begins and ends, and what is told while no command is under
//! way.
//!
//! What the client hears of is `listening`'s to say, how the selected mailbox is told of is
//! `news`'s.

use super::{
    super::{
        fault::{Refusal, Stop},
        listening::{Listening, Own, TooMuch},
        news::{self, Moment},
        updates::{self, News},
    },
    Account, Asked, Session, State, not_now,
};
use crate::{
    imap::proto::{
        dialog::Imap,
        notify::Wishes,
        response::{Code, Response},
    },
    net::{Next, Turn},
};

impl Session {
    /// NOTIFY SET (RFC 5465 3.1); NONE without wishes.
    pub(super) async fn notify(
        &mut self,
        asked: &Asked,
        wishes: Option<Box<Wishes>>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        let (login, selected) = match &self.state {
            State::Ready(login) => (login, None),
            State::Selected(login, selected) => (login, Some(&**selected)),
            State::Greeted | State::LoggedOut => {
                return Ok(Next::Reply(asked.answer(Err(not_now()))));
            }
        };
        let account = Account {
            services: &self.services,
            login,
        };
        let Some(wishes) = wishes else {
            self.listening = Some(Box::new(Listening::to_nothing()));
            return self.complete(asked, Ok(None), turn).await;
        };
        match Listening::begin(account, *wishes, selected, turn).await? {
            Ok(listening) => {
                // All that changed is told, as after NOOP, whatever is wanted from now on.
                self.listening = None;
                let next = self.complete(asked, Ok(None), turn).await;
                if let State::Selected(_, selected) = &mut self.state {
                    selected.heed(Some(&listening.selected()));
                }
                self.listening = Some(Box::new(listening));
                next
            }
            Err(TooMuch) => {
                let text = "there are too many mailboxes for this";
                let refusal = Refusal::no(Code::NotificationOverflow, text);
                self.complete(asked, Err(refusal), turn).await
            }
        }
    }

    /// The session has done this itself (RFC 5465 5).
    pub(super) async fn note_own(&mut self, own: Option<Own>) {
        let (State::Ready(login) | State::Selected(login, _)) = &self.state else {
            return;
        };
        let account = Account {
            services: &self.services,
            login,
        };
        if let (Some(listening), Some(own)) = (&mut self.listening, own) {
            listening.note_own(account, own).await;
        }
    }

    /// Tells what changed while no command was under way.
    pub(super) async fn tell_changes(
        &mut self,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<Next<Response>, Stop> {
        let (login, mut selected) = match &mut self.state {
            State::Ready(login) => (&*login, None),
            State::Selected(login, selected) => (&*login, Some(&mut **selected)),
            State::Greeted | State::LoggedOut => return Ok(Next::Continue),
        };
        let account = Account {
            services: &self.services,
            login,
        };
        if let Some(listening) = &mut self.listening {
            listening.begin_look();
        }
        if let Some(selected) = selected.as_deref_mut() {
            selected.reconsider(account).await?;
            let moment = match self.parked {
                Some(_) => Moment::Parked,
                None => Moment::Between,
            };
            let wanted = self.listening.as_deref().map(Listening::selected);
            let told = news::tell(account, selected, wanted.as_deref(), moment, turn).await?;
            if told == News::MailboxDeleted {
                return Ok(Next::Close(updates::mailbox_deleted()));
            }
        }
        if let Some(listening) = &mut self.listening
            && let Err(TooMuch) = listening.tell(account, selected.as_deref(), turn).await?
        {
            // RFC 5465 5.8: as after NOTIFY NONE.
            **listening = Listening::to_nothing();
            return Ok(Next::Reply(Listening::overflow()));
        }
        Ok(Next::Continue)
    }
}
