//! What our operator does to the queue while the world goes on.

use buzon::{
    base::ids::MessageId,
    mail::address::{Address, Domain},
    queue::{
        admin::{Action, Filter, Selection},
        record::Via,
    },
};

use super::{Life, ledger::Order, mood::one_of};

impl Life {
    /// He does one thing to somebody, to a message, to a place or to all.
    pub(super) async fn meddle(&self) {
        match self.chance.below(8) {
            0 => self.pause().await,
            1 => self.resume(false).await,
            2 => self.act_on_many().await,
            3 => self.drop_message().await,
            _ => self.act_on_one().await,
        }
    }

    /// Everything may go, and be tried, again.
    pub(super) async fn let_go(&self) {
        self.resume(true).await;
        self.ledger.released(None);
        let all = Selection::Matching(Filter::default());
        // Where he fails, he will do it again.
        let _ = self.node.services.queue.apply(Action::Release, &all).await;
    }

    async fn pause(&self) {
        let queue = &self.node.services.queue;
        let place = self.places.any(&self.chance).domain.clone();
        let domain = (self.chance.below(3) > 0).then_some(place);
        let parsed = domain.as_deref().map(|name| Domain::parse(name).unwrap());
        if queue.pause(parsed.as_ref()).await.is_ok() {
            self.ledger.paused(domain.as_deref().unwrap_or_default());
        }
    }

    /// For all, or for some place.
    async fn resume(&self, all: bool) {
        let queue = &self.node.services.queue;
        let place = self.places.any(&self.chance).domain.clone();
        let domain = (!all && self.chance.below(2) == 0).then_some(place);
        let parsed = domain.as_deref().map(|name| Domain::parse(name).unwrap());
        self.ledger.resumed(domain.as_deref().unwrap_or_default());
        let _ = queue.resume(parsed.as_ref()).await;
    }

    async fn act_on_many(&self) {
        let filter = Filter {
            domain: Domain::parse(&self.places.any(&self.chance).domain).ok(),
            ..Filter::default()
        };
        let action = one_of(
            &self.chance,
            &[Action::Retry, Action::Hold, Action::Release],
        );
        if action == Action::Release {
            self.ledger.released(None);
        }
        let selection = Selection::Matching(filter);
        let _ = self.node.services.queue.apply(action, &selection).await;
    }

    /// Who is in the queue, and may be named.
    async fn anybody(&self) -> Option<(MessageId, Vec<String>)> {
        let messages = self.listed().await;
        if messages.is_empty() {
            return None;
        }
        let at = self.chance.below(messages.len() as u64);
        let message = &messages[usize::try_from(at).unwrap()];
        let addresses = message.recipients.iter();
        let addresses = addresses.filter_map(|recipient| recipient.address.clone());
        let known: Vec<_> = addresses.filter(|to| self.ledger.knows(to)).collect();
        let id = message.id.parse().unwrap();
        (!known.is_empty()).then_some((id, known))
    }

    async fn drop_message(&self) {
        let Some((id, who)) = self.anybody().await else {
            return;
        };
        for who in who {
            self.ledger.may_be(&who, Order::Drop);
        }
        let selection = Selection::Message(id);
        let _ = self
            .node
            .services
            .queue
            .apply(Action::Drop, &selection)
            .await;
    }

    async fn act_on_one(&self) {
        let Some((id, who)) = self.anybody().await else {
            return;
        };
        let who = &who[usize::try_from(self.chance.below(who.len() as u64)).unwrap()];
        let ways = ["detour.example", "detour.example:25", "mx", "smarthost"];
        let via: Option<Via> = Some(one_of(&self.chance, &ways).parse().unwrap());
        let via = via.filter(|_| self.chance.below(3) > 0);
        let (action, order) = match self.chance.below(8) {
            0 => (Action::Drop, Some(Order::Drop)),
            1 => (Action::Bounce, Some(Order::Bounce)),
            2 | 3 => (Action::Hold, Some(Order::Hold)),
            4 => (Action::Release, None),
            5 => (Action::Retry, None),
            _ => (Action::Reroute(via.as_ref()), None),
        };
        if action == Action::Release {
            self.ledger.released(Some(who));
        }
        let selection = Selection::Recipient(id, Address::parse(who).unwrap());
        let done = self.node.services.queue.apply(action, &selection).await;
        let Some(order) = order else { return };
        match done {
            Ok(done) if done.changed == 1 => self.ledger.ordered(who, order),
            Ok(_) => {}
            // Nobody knows whether it was done.
            Err(_) => self.ledger.may_be(who, order),
        }
    }
}
