//! Groups, domains that stand for others, and what accounts may send with.

use serde_json::{Value, json};

use super::{
    operations::{Operations, Outcome, Refusal, all_parsed, domain, parsed},
    request::{Addressing, Listing},
};
use crate::{
    accounts::{Entry, Grant, Group, Senders},
    mail::address::{Address, Domain},
};

impl Operations {
    pub(super) async fn addressing(&self, request: Addressing) -> Outcome {
        match request {
            Addressing::DomainAlias { name, other } => {
                self.domain_alias(&name, other.as_deref()).await
            }
            Addressing::GroupAdd { address, group } => self.group_add(&address, &group).await,
            Addressing::GroupSet {
                address,
                group,
                joining,
                leaving,
            } => self.group_set(&address, &group, (&joining, &leaving)).await,
            Addressing::GroupRemove { address } => {
                self.directory.remove_group(&parsed(&address)?).await?;
                Ok(json!({ "group": address, "removed": true }))
            }
            Addressing::GroupShow { address } => self.group_show(&address),
            Addressing::GroupList => Ok(self.group_list()),
            Addressing::SendAs {
                address,
                grant,
                granted,
            } => self.send_as(&address, &grant, granted).await,
            Addressing::SendAsList { address } => self.send_as_list(&address),
        }
    }

    async fn domain_alias(&self, name: &str, other: Option<&str>) -> Outcome {
        let name = domain(name)?;
        let other = other.map(|other| self.domain(other)).transpose()?;
        self.directory.set_stands_for(&name, other.as_ref()).await?;
        Ok(json!({
            "domain": name.to_string(),
            "stands_for": other.as_ref().map(Domain::to_string),
        }))
    }

    async fn group_add(&self, address: &str, given: &Listing) -> Outcome {
        let address = self.own(address)?;
        let mut group = Group::default();
        replace(&mut group, given)?;
        self.directory.add_group(&address, &group).await?;
        let mut warnings = self.group_warnings(&address, &group);
        warnings.extend(self.looks_tagged(&address));
        Ok(described(&address.to_string(), &group, &warnings))
    }

    async fn group_set(
        &self,
        address: &str,
        given: &Listing,
        (joining, leaving): (&[String], &[String]),
    ) -> Outcome {
        let address = self.own(address)?;
        let (joining, leaving) = (all_parsed(joining)?, all_parsed(leaving)?);
        let is_same = |one: &Address, other: &Address| {
            one.domain == other.domain && one.folded_local() == other.folded_local()
        };
        let mut checked = Group::default();
        replace(&mut checked, given)?;
        let edit = |group: &mut Group| {
            // What is given was read once without an error.
            let _ = replace(group, given);
            group
                .members
                .retain(|member| !leaving.iter().any(|one| is_same(one, member)));
            for one in &joining {
                if !group.members.iter().any(|member| is_same(one, member)) {
                    group.members.push(one.clone());
                }
            }
        };
        self.directory.change_group(&address, edit).await?;
        let group = self.group(&address)?;
        let warnings = self.group_warnings(&address, &group);
        Ok(described(&address.to_string(), &group, &warnings))
    }

    fn group_show(&self, address: &str) -> Outcome {
        let address = parsed(address)?;
        Ok(described(&address.to_string(), &self.group(&address)?, &[]))
    }

    fn group_list(&self) -> Value {
        let snapshot = self.directory.snapshot();
        let groups = snapshot.domains().flat_map(|domain| {
            let groups = domain
                .entries()
                .filter_map(move |(local, entry)| match entry {
                    Entry::Group(group) => Some((format!("{local}@{}", domain.name), group)),
                    _ => None,
                });
            groups.map(|(address, group)| described(&address, group, &[]))
        });
        groups.collect()
    }

    async fn send_as(&self, address: &str, grant: &str, granted: bool) -> Outcome {
        let account = self.account(address)?;
        let wanted: Grant = grant.parse().map_err(|_| Refusal::NotOne {
            given: grant.to_owned(),
            wanted: "an address, or @ and a domain",
        })?;
        match granted {
            true => self.directory.add_grant(account, &wanted).await?,
            false => self.directory.remove_grant(account, &wanted).await?,
        }
        self.send_as_list(address)
    }

    fn send_as_list(&self, address: &str) -> Outcome {
        let id = self.account(address)?;
        let snapshot = self.directory.snapshot();
        let account = snapshot.account(id);
        let grants = account.map_or(&[][..], |account| &account.send_as);
        let grants: Vec<_> = grants.iter().map(ToString::to_string).collect();
        Ok(json!({ "account": address, "send_as": grants }))
    }

    fn group(&self, address: &Address) -> Result<Group, Refusal> {
        match self.directory.snapshot().entry(address) {
            Some(Entry::Group(group)) => Ok((**group).clone()),
            _ => Err(Refusal::NoGroup(address.to_string())),
        }
    }

    fn group_warnings(&self, address: &Address, group: &Group) -> Vec<String> {
        let mut warnings = self.unreached(&group.members);
        warnings.extend(self.unreached(&group.owners));
        if group.owners.is_empty() {
            warnings.push(format!(
                "{address} has no owner: what cannot be delivered comes back to the postmaster"
            ));
        }
        warnings
    }
}

/// Replaces what is said of a group.
fn replace(group: &mut Group, given: &Listing) -> Result<(), Refusal> {
    if !given.members.is_empty() {
        group.members = all_parsed(&given.members)?;
    }
    if let Some(owners) = &given.owners {
        group.owners = all_parsed(owners)?;
    }
    match given.senders.as_deref() {
        None => {}
        Some([one]) if one == "anyone" => group.senders = Senders::Anyone,
        Some([one]) if one == "members" => group.senders = Senders::Members,
        Some([one]) if one == "owners" => group.senders = Senders::Owners,
        Some(listed) => group.senders = Senders::Listed(all_parsed(listed)?),
    }
    Ok(())
}

fn described(address: &str, group: &Group, warnings: &[String]) -> Value {
    let shown = |addresses: &[Address]| -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    };
    let senders = match &group.senders {
        Senders::Anyone => vec!["anyone".to_owned()],
        Senders::Members => vec!["members".to_owned()],
        Senders::Owners => vec!["owners".to_owned()],
        Senders::Listed(listed) => shown(listed),
    };
    json!({
        "group": address,
        "members": shown(&group.members),
        "owners": shown(&group.owners),
        "senders": senders,
        "warnings": warnings,
    })
}
