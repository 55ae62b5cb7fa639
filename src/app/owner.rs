//! SYS-05: the data directory is opened by its owner and by nobody else, and only while nobody else
//! may read or write it.
//!
//! What another user makes in it, root most of all, the server's user cannot open afterwards: one
//! command typed as root while no server runs would keep the server from starting. So whoever opens
//! the store is compared with the owner first, before any file is made. Not here: what modes files
//! get (`store`), and who may speak to a running server (`admin::socket`).

use std::{
    fmt,
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::{Uid, geteuid};

/// The data directory is not ours alone: for the operator, with the command that works.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// It belongs to somebody else.
    #[error("{path} belongs to {owner}, and this is {us}: {way}", path = .path.display())]
    Owner {
        /// The directory, or the one that keeps us out of it.
        path: PathBuf,
        /// Whose it is.
        owner: User,
        /// Who runs this.
        us: User,
        /// How to become the owner.
        way: String,
    },
    /// Others may read or write it. It is not closed here: what others could write deserves a
    /// look.
    #[error(
        "{path} can be entered by others (mode {mode:04o}): `chmod 0700 {path}`",
        path = .path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Refuses to go on when the data directory at `data` is there and belongs to somebody else. What
/// cannot be looked at is left to whoever opens it.
///
/// # Errors
/// Names the owner and how to become him.
pub fn check(data: &Path) -> Result<(), NotOurs> {
    let Some((path, facts)) = seen(data) else {
        return Ok(());
    };
    let (owner, us) = (facts.uid(), geteuid().as_raw());
    if owner == us {
        return Ok(());
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    Err(NotOurs::Owner {
        path: path.to_path_buf(),
        way: way(&User::of(owner, &users), facts.gid(), us),
        owner: User::of(owner, &users),
        us: User::of(us, &users),
    })
}

/// Refuses to go on when others may read or write the data directory at `data`. Asked when it is
/// known to hold nothing but a store: other directories should not be closed on our word.
///
/// # Errors
/// Names the mode and how to mend it.
pub fn check_closed(data: &Path) -> Result<(), NotOurs> {
    let mode = fs::metadata(data).map_or(0, |facts| facts.mode() & 0o7777);
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(NotOurs::Open {
            path: data.to_path_buf(),
            mode,
        }),
    }
}

/// The data directory or, when it lies where we may not look, the directory that keeps us out.
fn seen(data: &Path) -> Option<(&Path, Metadata)> {
    let mut path = data;
    loop {
        match fs::metadata(path) {
            Ok(facts) => return Some((path, facts)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => path = path.parent()?,
            Err(_) => return None,
        }
    }
}

/// What root should know before it makes the data directory: that it will be root's.
pub fn warning_before(data: &Path) -> Option<String> {
    (geteuid() == Uid::ROOT && !data.exists()).then(|| {
        let path = data.display();
        format!(
            "{path} is made by root and will be root's: before a server of another user starts, \
             give it to that user with `chown -R USER: {path}`"
        )
    })
}

/// The command that runs as the owner.
fn way(owner: &User, group: u32, us: u32) -> String {
    match (&owner.name, us) {
        (Some(name), 0) => format!("run it as `runuser -u {name} -- buzon ...`"),
        (Some(name), _) => format!("run it as `sudo -u {name} -- buzon ...`"),
        (None, 0) => format!(
            "run it as `setpriv --reuid={} --regid={group} --clear-groups -- buzon ...`",
            owner.uid
        ),
        (None, _) => format!("run it as `sudo -u '#{}' -- buzon ...`", owner.uid),
    }
}

/// A user of this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
    name: Option<String>,
}

impl User {
    /// With the name that `users`, in the form of /etc/passwd, has for the number.
    fn of(uid: u32, users: &str) -> Self {
        let name = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        Self { uid, name }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "user {name}"),
            None => write!(f, "user {}", self.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\n\
        broken\n:x:998:\nbuzon:x:998:998::/var/lib/buzon:/usr/sbin/nologin\n";

    #[test]
    fn sys_05_the_way_to_become_the_owner_fits_who_asks() {
        for (owner, us, command) in [
            (998, 0, "runuser -u buzon -- buzon"),
            (998, 1000, "sudo -u buzon -- buzon"),
            (0, 1000, "sudo -u root -- buzon"),
            (
                77,
                0,
                "setpriv --reuid=77 --regid=78 --clear-groups -- buzon",
            ),
            (77, 1000, "sudo -u '#77' -- buzon"),
        ] {
            let said = way(&User::of(owner, USERS), 78, us);
            assert!(said.contains(command), "{said}");
        }
        assert_eq!(User::of(998, USERS).to_string(), "user buzon");
        assert_eq!(User::of(77, USERS).to_string(), "user 77");
    }

    #[test]
    fn sys_05_our_own_closed_and_absent_directories_are_fine() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("ours");
        fs::create_dir(&ours).unwrap();
        for mode in [0o755, 0o710, 0o702, 0o770] {
            fs::set_permissions(&ours, fs::Permissions::from_mode(mode)).unwrap();
            let said = check_closed(&ours).unwrap_err().to_string();
            assert!(said.contains(&format!("mode {mode:04o}")), "{said}");
            assert!(said.contains("chmod 0700 /"), "{said}");
        }
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(check(&ours).is_ok() && check_closed(&ours).is_ok());
        assert!(warning_before(&ours).is_none());
        fs::remove_dir_all(&ours).unwrap();
        assert!(check(&ours).is_ok() && check_closed(&ours).is_ok());
        let warned = warning_before(&ours);
        assert_eq!(warned.is_some(), geteuid() == Uid::ROOT);
    }
}
